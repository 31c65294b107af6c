/** The layout of the data; another one is refused at the start. */
export const SCHEMA = '4';
