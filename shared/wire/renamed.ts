/** Keys of requests and plans that had another name, and misled by it. */
const RENAMED: Readonly<Record<string, string>> = {
  release_held: 'open_gates',
};
const RENAMED_IN_PLANS: Readonly<Record<string, string>> = {
  release_held: 'open_gates_on_revert',
};

const nameIn = (names: Readonly<Record<string, string>>, key: string): string | null =>
  Object.hasOwn(names, key) ? (names[key] ?? null) : null;

/** What a key of a request is called now; null: it never had another name. */
export const renamedKey = (key: string): string | null => nameIn(RENAMED, key);

/** The same for a key of a plan. */
export const renamedPlanKey = (key: string): string | null => nameIn(RENAMED_IN_PLANS, key);
