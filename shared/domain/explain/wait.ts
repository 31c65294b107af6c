/** One thing that a release waits for. */
export type Wait = {
  location: string | null;
  stage: string | null;
  /** As it follows "waits for". */
  for: string;
  /** Ranks, both ends included, of the children that it waits for; null: it waits for no child in particular. */
  ranks: readonly [number, number] | null;
  /** A stage that some children failed and then went on: they keep it from ending as well, from behind. */
  failedStage?: number;
};

export const general = (text: string): Wait => ({ location: null, stage: null, for: text, ranks: null });
