/** What a share is off by in floating point, after it was written as a percentage or multiplied. */
export const ROUNDING = 1e-9;
