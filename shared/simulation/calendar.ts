/** Events by virtual time: a binary heap. Those of the same time come in the order in which they were added. */
export type Calendar<T> = {
  add(at: number, event: T): void;
  /** The time of the first event; Infinity where there is none. */
  next(): number;
  /** Takes the first event out. */
  take(): T | undefined;
};

type Entry<T> = { at: number; seq: number; event: T };

export function createCalendar<T>(): Calendar<T> {
  const heap: Entry<T>[] = [];
  let seq = 0;

  const isBefore = (a: Entry<T>, b: Entry<T>): boolean => a.at < b.at || (a.at === b.at && a.seq < b.seq);

  function up(from: number, entry: Entry<T>): void {
    let i = from;
    while (i > 0) {
      const parent = heap[(i - 1) >> 1];
      if (parent === undefined || !isBefore(entry, parent)) break;
      heap[i] = parent;
      i = (i - 1) >> 1;
    }
    heap[i] = entry;
  }

  function down(entry: Entry<T>): void {
    let i = 0;
    for (;;) {
      let at = 2 * i + 1;
      let child = heap[at];
      const right = heap[at + 1];
      if (child !== undefined && right !== undefined && isBefore(right, child)) {
        child = right;
        at += 1;
      }
      if (child === undefined || !isBefore(child, entry)) break;
      heap[i] = child;
      i = at;
    }
    heap[i] = entry;
  }

  return {
    add: (at, event) => up(heap.length, { at, seq: seq++, event }),
    next: () => heap[0]?.at ?? Infinity,
    take() {
      const first = heap[0];
      const last = heap.pop();
      if (last !== undefined && heap.length > 0) down(last);
      return first?.event;
    },
  };
}
