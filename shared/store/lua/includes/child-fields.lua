-- Generated from shared/store/children/child-fields.ts by `npm run docs`.
local CHILD_FIELDS = {'f', 's', 'w', 'a', 'd', 'n', 'p', 'u', 'o', 'l'}
