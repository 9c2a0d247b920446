/**
 * A provisioner: what makes nodes and takes them away. Local processes (`dure dev --autoscale`) and a StatefulSet of
 * Kubernetes are two; both stand behind this one interface.
 *
 * It knows of instances (processes, pods), not of members. A new instance joins the cluster by itself, and one is
 * taken away only after it has left: that is for the autoscaler to see to.
 */

/** A process or pod that is a node, is to become one, or was one. */
export interface Instance {
  /** The id of the node. */
  readonly id: string;
  /** Whether this one can be taken away now, without another one. */
  readonly removable: boolean;
}

/** All of it may be asked again after a crash or a failure: what is done already is not done twice. */
export interface Provisioner {
  /** For people: `StatefulSet shop/dure`. */
  readonly name: string;
  /** Every instance there is or is to be, the oldest first. @throws Error in words for people. */
  list(): Promise<readonly Instance[]>;
  /**
   * Sees to it that there is one more than `instances` tells; done when that is asked for, not when it runs.
   * @returns the id of the node there will be. @throws Error in words for people.
   */
  add(instances: readonly Instance[]): Promise<string>;
  /** Takes away an instance that is no member any more. @throws Error in words for people. */
  remove(id: string): Promise<void>;
}
