/** Which of many boxes meet another one: a packed R-tree, as fast for ten thousand in one city as for as many on the globe. */
import { type Box, shiftsOnto, unionOf } from './rings.ts';

type Entry = { box: Box; item: number };
type Node = { box: Box; nodes: readonly Node[]; entries: readonly Entry[] };

const PER_NODE = 12;

type Boxed = { box: Box };
const byLongitude = ({ box: a }: Boxed, { box: b }: Boxed): number => a[0] + a[2] - b[0] - b[2];
const byLatitude = ({ box: a }: Boxed, { box: b }: Boxed): number => a[1] + a[3] - b[1] - b[3];

function slices<T>(items: readonly T[], size: number): T[][] {
  const found: T[][] = [];
  for (let i = 0; i < items.length; i += size) found.push(items.slice(i, i + size));
  return found;
}

/** Sorted into columns and, within these, into rows: neighbours come into the same node. */
function packs<T extends Boxed>(items: readonly T[]): T[][] {
  const columns = Math.ceil(Math.sqrt(items.length / PER_NODE));
  return slices(items.toSorted(byLongitude), Math.ceil(items.length / columns)).flatMap((column) =>
    slices(column.sort(byLatitude), PER_NODE),
  );
}

/** Shows the items of all boxes that meet one, until `stop` says that it is the one. An item may have several boxes. */
export type BoxIndex = (box: Box, stop: (item: number) => boolean) => void;

export function createBoxIndex(entries: readonly Entry[]): BoxIndex {
  if (entries.length === 0) return () => {};
  let nodes = packs(entries).map((pack): Node => ({
    box: unionOf(pack.map(({ box }) => box)),
    nodes: [],
    entries: pack,
  }));
  while (nodes.length > 1)
    nodes = packs(nodes).map((pack) => ({ box: unionOf(pack.map(({ box }) => box)), nodes: pack, entries: [] }));
  const [root] = nodes;

  const search = (node: Node, box: Box, stop: (item: number) => boolean): boolean => {
    if (!meet(node.box, box)) return false;
    for (const entry of node.entries) if (meet(entry.box, box) && stop(entry.item)) return true;
    for (const inner of node.nodes) if (search(inner, box, stop)) return true;
    return false;
  };
  return (box, stop) => {
    if (!root) return;
    for (const shift of shiftsOnto(box, root.box))
      if (search(root, [box[0] + shift, box[1], box[2] + shift, box[3]], stop)) return;
  };
}

const meet = (a: Box, b: Box): boolean => a[0] <= b[2] && b[0] <= a[2] && a[1] <= b[3] && b[1] <= a[3];
