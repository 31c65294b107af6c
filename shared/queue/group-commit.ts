/**
 * Group commit: one job for all the messages that came while the last one was being written. No timers and no latency
 * when idle; hundreds of messages per job under load.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';

/** `retry`: it's tried again for a while where writing fails; otherwise it's refused at once. */
export type Submit = (message: string, retry: boolean) => Promise<void>;

export type GroupCommitOptions = {
  /** Writes a batch; it may be written twice where an answer was lost. */
  write(messages: string[]): Promise<void>;
  /** Resolves when another try makes sense. */
  untilRetry(): Promise<void>;
  retryMs: number;
  maxMessages: number;
  maxBytes: number;
  /** Messages waiting at a time; one more is refused. */
  maxWaiting: number;
};

/** The message was not taken; its sender may try again. */
export class NotAccepted extends Error {
  override name = 'NotAccepted';
}

type Entry = { message: string; deadline: number; resolve(): void; reject(error: Error): void };

/**
 * One lane, for one partition. A message that may be tried again is, until its deadline, when writing fails; any other is
 * refused at once.
 */
export function createGroupCommit(options: GroupCommitOptions): { submit: Submit; idle(): Promise<void> } {
  let forming: Entry[] = [];
  let running: Promise<void> | null = null;

  function take(): Entry[] {
    let bytes = 0;
    let count = 0;
    for (const entry of forming) {
      const size = entry.message.length;
      if (count > 0 && (count >= options.maxMessages || bytes + size > options.maxBytes)) break;
      bytes += size;
      count++;
    }
    return forming.splice(0, count);
  }

  async function run(): Promise<void> {
    // What comes in this turn of the event loop goes together.
    await nextTurn();
    while (forming.length > 0) {
      const batch = take();
      try {
        await options.write(batch.map((entry) => entry.message));
        for (const entry of batch) entry.resolve();
      } catch (error) {
        forming = [...batch, ...forming];
        refuseOverdue(error as Error);
        if (forming.length > 0) await options.untilRetry();
      }
    }
    // In the same step as the last check: a message that comes right after must find nothing running.
    running = null;
  }

  function refuseOverdue(error: Error): void {
    const now = performance.now();
    const overdue = forming.filter((entry) => entry.deadline <= now);
    forming = forming.filter((entry) => entry.deadline > now);
    for (const entry of overdue) entry.reject(new NotAccepted(error.message, { cause: error }));
  }

  return {
    submit(message, retry) {
      if (forming.length >= options.maxWaiting) return Promise.reject(new NotAccepted('too many messages are waiting'));
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const deadline = retry ? performance.now() + options.retryMs : 0;
      forming.push({ message, deadline, resolve, reject });
      if (running === null) {
        const work = run();
        running = work;
      }
      return promise;
    },
    async idle() {
      while (running !== null) await running;
    },
  };
}
