/** Children that are still to be enrolled, in their order: counts by the location that they stand in. */
type Part = { location: string; left: number };

export type Pool = {
  left(): number;
  /** The first `n` of them. */
  take(n: number): Part[];
  /** Behind all others. */
  add(location: string, n: number): void;
};

export function createPool(all: readonly { id: string; children: number }[]): Pool {
  const parts: Part[] = all.map(({ id, children }) => ({ location: id, left: children }));
  let left = all.reduce((sum, { children }) => sum + children, 0);
  let head = 0;
  return {
    left: () => left,
    take(n) {
      const taken: Part[] = [];
      for (let wanted = Math.min(n, left); wanted > 0;) {
        const part = parts[head];
        if (part === undefined) break;
        const count = Math.min(wanted, part.left);
        if (count > 0) taken.push({ location: part.location, left: count });
        part.left -= count;
        left -= count;
        wanted -= count;
        if (part.left === 0) head += 1;
      }
      return taken;
    },
    add(location, n) {
      parts.push({ location, left: n });
      left += n;
    },
  };
}
