/**
 * The error of a parser that cannot go on: the other side does not speak the protocol, or asks for more
 * than the limits allow. There is no way back to a command boundary after it, so the connection is
 * closed once the error was sent.
 */

/** Thrown by the parsers. The message is worded as Redis words it, without the code `ERR`. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';

  /** @param problem what follows `Protocol error: `. */
  constructor(problem: string) {
    super(`Protocol error: ${problem}`);
  }
}
