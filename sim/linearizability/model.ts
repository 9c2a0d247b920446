/**
 * What a key is supposed to be: models, as values, for the search in `search.ts`.
 *
 * The picture to have in mind: a model is the honest clerk with one notebook page. It is told the
 * operations one after the other and says what the page shows next, or that the client cannot have got
 * that answer from it. Whether a history of operations that overlapped is *linearizable* is the question
 * whether there is an order, respecting real time, in which the clerk objects to none of them.
 *
 * States are primitive values, so that two of them are the same exactly when `===` says so.
 */

/** What a key holds; null when there is no such key. */
export type Held = string | number | null;

/** A model of one key: `S` is its state, `A` what clients do to it together with what they were told. */
export interface Model<S extends Held, A> {
  readonly initial: S;
  /** The state after `action`, or undefined when the action cannot have had its answer in this state. */
  step(state: S, action: A): S | undefined;
  /** Whether the action leaves every state in which it fits as it is. */
  isRead(action: A): boolean;
  /**
   * Only of a register, where every action is a read or a blind write (what was there before it does not
   * matter after it): the value that is read or written.
   */
  readonly registerValue?: (action: A) => S;
  /** The action in words; two actions of the same words are the same. */
  text(action: A): string;
}

/** Reads with what was seen, writes and deletes. */
export type RegisterAction =
  | { readonly kind: 'read'; readonly value: Held }
  | { readonly kind: 'write'; readonly value: Held }
  | { readonly kind: 'delete' };

/** A register: a read sees the last write, or nothing after a delete and at the beginning. */
export const REGISTER: Model<Held, RegisterAction> = {
  initial: null,
  step(state, action) {
    if (action.kind === 'read') return action.value === state ? state : undefined;
    return action.kind === 'write' ? action.value : null;
  },
  isRead: (action) => action.kind === 'read',
  registerValue: (action) => (action.kind === 'delete' ? null : action.value),
  text: registerText,
};

/**
 * A register with updates that look before they write. A `result` is what the client was told,
 * undefined when it was told nothing.
 */
export type UpdateAction =
  | RegisterAction
  /** `result`: whether it was set. */
  | { readonly kind: 'set-if-missing'; readonly value: Held; readonly result: boolean | undefined }
  /** `result`: whether `expected` was there and was replaced. */
  | {
      readonly kind: 'compare-and-set';
      readonly expected: Held;
      readonly value: Held;
      readonly result: boolean | undefined;
    }
  /** `result`: the sum. Nothing counts as 0; what is no number is refused, and that is not in a history. */
  | { readonly kind: 'increment'; readonly by: number; readonly result: number | undefined };

export const UPDATES: Model<Held, UpdateAction> = {
  initial: null,
  step(state, action) {
    switch (action.kind) {
      case 'set-if-missing':
        return conditional(state, state === null, action.value, action.result);
      case 'compare-and-set':
        return conditional(state, state === action.expected, action.value, action.result);
      case 'increment': {
        if (typeof state === 'string') return undefined;
        const sum = (state ?? 0) + action.by;
        return action.result === undefined || action.result === sum ? sum : undefined;
      }
      default:
        return REGISTER.step(state, action);
    }
  },
  isRead: (action) => action.kind === 'read',
  text(action) {
    switch (action.kind) {
      case 'set-if-missing':
        return `set-if-missing ${heldText(action.value)}${answerText(action.result)}`;
      case 'compare-and-set':
        return `compare-and-set ${heldText(action.expected)} to ${heldText(action.value)}${answerText(action.result)}`;
      case 'increment':
        return `increment by ${action.by}${answerText(action.result)}`;
      default:
        return registerText(action);
    }
  },
};

function conditional(
  state: Held,
  holds: boolean,
  value: Held,
  result: boolean | undefined,
): Held | undefined {
  if (result !== undefined && result !== holds) return undefined;
  return holds ? value : state;
}

function registerText(action: RegisterAction): string {
  if (action.kind === 'read') return `read ${heldText(action.value)}`;
  return action.kind === 'write' ? `write ${heldText(action.value)}` : 'delete';
}

function answerText(result: boolean | number | undefined): string {
  if (result === undefined) return '';
  if (typeof result === 'number') return `, answered ${result}`;
  return result ? ', done' : ', refused';
}

/** What a key holds, in words. */
export function heldText(value: Held): string {
  return value === null ? 'nothing' : String(value);
}
