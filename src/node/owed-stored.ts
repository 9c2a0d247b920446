/**
 * An answer that is owed to a peer until what it sent is durable, or is not: of a WRITE, a FLOOR, a HINT. The
 * picture: a receipt that is signed when the ink is dry, and thrown away if the peer's pipe broke meanwhile.
 */

import type { CodedError } from '../base/errors.ts';
import type { StoredWaiter } from '../replica/tray.ts';
import { writeRefused, writeStored } from '../wire/messages.ts';
import type { NodeContext } from './context.ts';
import { refusalCode } from './context.ts';
import type { Link } from './links.ts';

export class OwedStored implements StoredWaiter {
  readonly #context: NodeContext;
  readonly #link: Link;
  readonly #generation: number;
  readonly #id: number;

  constructor(context: NodeContext, link: Link, id: number) {
    this.#context = context;
    this.#link = link;
    this.#generation = link.generation;
    this.#id = id;
  }

  stored(error: CodedError | undefined): void {
    const writer =
      this.#link.generation === this.#generation ? this.#context.links.writer(this.#link) : undefined;
    if (writer === undefined) return;
    if (error === undefined) writeStored(writer, this.#id);
    else writeRefused(writer, this.#id, refusalCode(error));
  }
}
