/** How much of a difference is none. What rounding makes of nothing is far below these, and what people draw is far above. */

/** Degrees, about 0.1 mm: what is no further away touches. */
export const HAIR = 1e-9;
/** Of a whole, be it a width, an area or a box: so small a part of it is nothing, and all but so small a part is all. */
export const SLIVER = 1e-9;
/** Of its own area: what covers no more of it twice or inside out doesn't cross itself. */
export const CROSSING = 1e-7;
/** Of the smaller region: borders that were simplified or rounded separately share less than that. */
export const OVERLAP = 1e-6;
