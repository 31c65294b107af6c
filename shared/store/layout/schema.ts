/** The layout of the data; another one is refused at the start. */
export const SCHEMA = '5';
/** The layout that `choir migrate` can turn into this one. */
export const MIGRATED_SCHEMA = '4';

/** Why data of another layout is refused, and what to do about it. */
export const otherSchema = (schema: string): string =>
  schema === MIGRATED_SCHEMA
    ? `KEY_PREFIX names data of schema ${schema}, and this version needs schema ${SCHEMA}: stop all processes and run "choir migrate"`
    : `KEY_PREFIX names data of schema ${schema}, and this version knows schema ${SCHEMA} only`;
