/** Which of many boxes meet another one. The tree is flatbush's; own is only that the globe is round. */
import Flatbush from 'flatbush';
import { type Box, shiftsOnto } from './rings.ts';

/** Shows the items of all boxes that meet one, until `stop` says that it is the one. An item may have several boxes. */
export type BoxIndex = (box: Box, stop: (item: number) => boolean) => void;

export function createBoxIndex(entries: readonly { box: Box; item: number }[]): BoxIndex {
  // Flatbush takes no empty list.
  if (entries.length === 0) return () => {};
  const tree = new Flatbush(entries.length);
  for (const { box } of entries) tree.add(...box);
  tree.finish();
  const all: Box = [tree.minX, tree.minY, tree.maxX, tree.maxY];
  return ([west, south, east, north], stop) => {
    const isIt = (entry: number): boolean => stop(entries[entry]?.item ?? -1);
    const shifts = shiftsOnto([west, south, east, north], all);
    shifts.some((shift) => tree.collides(west + shift, south, east + shift, north, isIt));
  };
}
