-- Each pass reads every endpoint's failures since it last proved that it works; neither may cost a walk through all of
-- its launches, whose logs lie in the same rows.
CREATE INDEX attempts_failed ON attempts (endpoint, ended_at, attempt) WHERE cause IS NOT NULL;
CREATE INDEX attempts_proven ON attempts (endpoint, ended_at) WHERE cause IS NULL AND ready_at IS NOT NULL;

-- What is too old is found without a look at what is not.
CREATE INDEX events_by_time ON events (at);
