/** A start that cannot be: the one error by which the composition root tells people why. */

import type { NodeConfig } from './config.ts';
import { EXIT } from './exit-codes.ts';

/** A start that cannot be, with words for the operator and the exit code. */
export class StartError extends Error {
  readonly exitCode: number;

  constructor(exitCode: number, message: string) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** What the system says of a port, in words. */
export function portError(
  error: NodeJS.ErrnoException,
  config: NodeConfig,
  which: 'respPort' | 'peerPort' | 'httpPort',
): StartError {
  const address = `${config.bind}:${config.self[which]}`;
  const words: Readonly<Record<string, string>> = {
    EADDRINUSE: 'is in use by another program; end it, or set another port',
    EACCES: 'may not be used by this user; choose a port above 1023',
    EADDRNOTAVAIL: 'is not an address of this machine; set bind',
    ENOTFOUND: 'is not a host name that is known here; set bind',
  };
  return new StartError(
    EXIT.failed,
    `${which} ${address} ${words[error.code ?? ''] ?? `cannot be used: ${error.message}`}.`,
  );
}
