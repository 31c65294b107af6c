-- Generated from shared/domain by `npm run docs`.
local RELEASE = {No = 0, Todo = 1, Doing = 2, Done = 3, Failed = 4}
local STAGE = {Pending = 0, InProgress = 1, SuccessWaiting = 2, ShouldEnd = 3, Completed = 4, Failure = 5, Error = 6}
local FLAG = {lost = 1, overdue = 2, ejected = 4}
local FLAG_SUMS, STAGE_RANK, DONE_RANK = 8, 8, 1000000
local FOLLOWING = -2
local ACCURACY, SMALLEST, LARGEST = 0.02, 0.000001, 1000000000
