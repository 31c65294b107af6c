-- Whether children of a location are counted apart, by the membership in their records: see hasOwnCounts in
-- shared/domain/rollout/membership.ts.
local function has_own_counts(membership) return membership ~= '' and membership ~= 'all' end
