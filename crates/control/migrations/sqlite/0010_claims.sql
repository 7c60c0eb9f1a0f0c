-- Tenants that hold a model which was fetched for them and has not been seen in the store yet. Without an endpoint and
-- without a download such a claim is given up, so that it keeps the name from nobody. What was held before this step is
-- no claim.
CREATE TABLE model_claims (
    model  TEXT    NOT NULL,
    holder TEXT    NOT NULL,
    at     INTEGER NOT NULL,
    PRIMARY KEY (model, holder),
    FOREIGN KEY (model, holder) REFERENCES model_holders (model, holder) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
