/** The load generator as the main program sees it: a child process that does one job at a time. */

import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { LoadJob, LoadMessage, LoadResult } from './job.ts';

const program = fileURLToPath(new URL('load.ts', import.meta.url));

export class LoadGenerator {
  readonly #child: ChildProcess = fork(program, { stdio: 'inherit' });

  /**
   * @param onMeasuring is called when the warm-up is over and the measured time begins
   * @param onMeasured is called when that time is over
   */
  perform(job: LoadJob, onMeasuring?: () => void, onMeasured?: () => void): Promise<LoadResult> {
    return new Promise((resolve, reject) => {
      const finish = () => {
        this.#child.off('message', onMessage);
        this.#child.off('exit', onExit);
      };
      const onExit = () => {
        finish();
        reject(new Error('the load generator has ended'));
      };
      const onMessage = (message: LoadMessage) => {
        if (message.kind === 'measuring') onMeasuring?.();
        else if (message.kind === 'measured') onMeasured?.();
        else {
          finish();
          if (message.kind === 'done') resolve(message.result);
          else reject(new Error(`load generator: ${message.message}`));
        }
      };
      this.#child.on('message', onMessage);
      this.#child.on('exit', onExit);
      this.#child.send(job);
    });
  }

  end(): void {
    this.#child.disconnect();
  }
}
