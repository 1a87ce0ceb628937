-- The settlement ledger: what can be derived neither from the archive nor from the chain, or only slowly.
-- Hashes, roots, addresses and calldata are bytea; amounts of wei are numeric; times are for people, never for logic.

CREATE TABLE deployments (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    chain_id          numeric(78) NOT NULL,
    genesis_hash      bytea NOT NULL CHECK (length(genesis_hash) = 32),
    anchor            bytea NOT NULL CHECK (length(anchor) = 20),
    attested_verifier bytea NOT NULL CHECK (length(attested_verifier) = 20),
    block_number      bigint NOT NULL,
    first_batch_id    bigint NOT NULL CHECK (first_batch_id >= 0),
    created_at        timestamptz NOT NULL DEFAULT now()
);

-- Sealed batches as found in the archive folder; `record` is the 304 bytes that the chain's root is over.
CREATE TABLE batches (
    batch_id     bigint PRIMARY KEY CHECK (batch_id >= 0),
    record       bytea NOT NULL CHECK (length(record) = 304),
    archive_path text NOT NULL,
    input_path   text NOT NULL,
    sealed_at    timestamptz NOT NULL DEFAULT now()
);

-- Proofs that were verified after they were made; `kind` says what they are (`replay` is a re-execution, no proof).
CREATE TABLE proofs (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch_id     bigint NOT NULL REFERENCES batches,
    program_id   bytea NOT NULL CHECK (length(program_id) = 32),
    backend      text NOT NULL,
    kind         text NOT NULL,
    cycles       bigint NOT NULL CHECK (cycles >= 0),
    seconds      double precision NOT NULL CHECK (seconds >= 0),
    size_bytes   bigint NOT NULL CHECK (size_bytes >= 0),
    path         text NOT NULL,
    proof_sha256 bytea NOT NULL CHECK (length(proof_sha256) = 32),
    verified     boolean NOT NULL,
    made_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX proofs_batch ON proofs (batch_id);

CREATE TABLE proof_failures (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch_id  bigint NOT NULL REFERENCES batches,
    reason    text NOT NULL,
    failed_at timestamptz NOT NULL DEFAULT now()
);

-- A signature, kept so that a verifier signs once for a proof.
CREATE TABLE attestations (
    proof_id  bigint NOT NULL REFERENCES proofs,
    verifier  bytea NOT NULL CHECK (length(verifier) = 20),
    contract  bytea NOT NULL CHECK (length(contract) = 20),
    signature bytea NOT NULL CHECK (length(signature) = 65),
    signed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (proof_id, verifier, contract)
);

-- One row for each thing that is to be on the chain once. The row is there before anything is broadcast.
-- planned: not signed. sent: signed, its attempts persisted. mined, safe, final: where the chain has it.
-- failed: mined but reverted. dropped: given up before it was mined, never to be broadcast again.
CREATE TABLE transactions (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    deployment_id  bigint NOT NULL REFERENCES deployments,
    kind           text NOT NULL CHECK (kind IN ('commit', 'prove')),
    range_id       bigint NOT NULL CHECK (range_id >= 1),
    batch_ids      bigint[] NOT NULL CHECK (cardinality(batch_ids) > 0),
    assurance      smallint NOT NULL DEFAULT 0 CHECK (assurance BETWEEN 0 AND 2),
    proof_ids      bigint[] NOT NULL DEFAULT '{}',
    records_root   bytea CHECK (length(records_root) = 32),
    sender         bytea NOT NULL CHECK (length(sender) = 20),
    nonce          bigint,
    data           bytea NOT NULL,
    gas_limit      bigint NOT NULL,
    state          text NOT NULL DEFAULT 'planned'
                   CHECK (state IN ('planned', 'sent', 'mined', 'safe', 'final', 'failed', 'dropped')),
    adopted        boolean NOT NULL DEFAULT false,
    tx_hash        bytea CHECK (length(tx_hash) = 32),
    block_number   bigint,
    block_hash     bytea CHECK (length(block_hash) = 32),
    gas_used       bigint,
    gas_price_wei  numeric(78),
    reason         text,
    planned_at     timestamptz NOT NULL DEFAULT now(),
    changed_at     timestamptz NOT NULL DEFAULT now(),
    CHECK (state IN ('planned', 'dropped') OR nonce IS NOT NULL OR adopted),
    CHECK (state NOT IN ('mined', 'safe', 'final') OR (block_number IS NOT NULL AND block_hash IS NOT NULL))
);
CREATE UNIQUE INDEX transactions_once ON transactions (deployment_id, range_id)
    WHERE kind = 'commit' AND state NOT IN ('failed', 'dropped');
CREATE INDEX transactions_open ON transactions (deployment_id, state) WHERE state IN ('planned', 'sent', 'mined', 'safe');
CREATE INDEX transactions_batches ON transactions USING gin (batch_ids);
CREATE UNIQUE INDEX transactions_nonce ON transactions (deployment_id, sender, nonce)
    WHERE NOT adopted AND state <> 'dropped';

-- Every transaction that was ever signed for a row above: whichever of them is mined, it is recognised.
CREATE TABLE attempts (
    tx_hash        bytea PRIMARY KEY CHECK (length(tx_hash) = 32),
    transaction_id bigint NOT NULL REFERENCES transactions,
    raw            bytea NOT NULL,
    max_fee_wei    numeric(78) NOT NULL,
    tip_wei        numeric(78) NOT NULL,
    signed_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX attempts_transaction ON attempts (transaction_id);

-- Hashes of blocks that were seen, to notice that one was replaced; also across restarts.
CREATE TABLE blocks_seen (
    deployment_id bigint NOT NULL REFERENCES deployments,
    number        bigint NOT NULL,
    hash          bytea NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (deployment_id, number)
);

-- A contradiction that a person must look at; settlement stands still until it is cleared.
CREATE TABLE halts (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reason     text NOT NULL,
    halted_at  timestamptz NOT NULL DEFAULT now(),
    cleared_at timestamptz,
    cleared_by text
);

-- Where each batch stands on the latest deployment, derived and never stored.
CREATE VIEW batch_states AS
WITH deployment AS (SELECT max(id) AS id FROM deployments),
on_chain AS (
    SELECT t.id, t.kind, t.range_id, unnest(t.batch_ids) AS batch_id, t.assurance, t.state, t.tx_hash, t.gas_used,
           cardinality(t.batch_ids) AS batch_count
    FROM transactions t JOIN deployment d ON t.deployment_id = d.id
    WHERE t.state IN ('mined', 'safe', 'final')
),
commits AS (SELECT * FROM on_chain WHERE kind = 'commit'),
proves AS (
    SELECT DISTINCT ON (batch_id) * FROM on_chain WHERE kind = 'prove' ORDER BY batch_id, assurance DESC, id
),
proved AS (SELECT DISTINCT batch_id FROM proofs WHERE verified),
ranges AS (
    SELECT c.range_id, bool_and(coalesce(p.state = 'final', false) AND c.state = 'final') AS final
    FROM commits c LEFT JOIN proves p USING (batch_id) GROUP BY c.range_id
)
SELECT b.batch_id,
       CASE WHEN r.final THEN 'final'
            WHEN c.batch_id IS NOT NULL AND v.batch_id IS NOT NULL THEN 'proved'
            WHEN c.batch_id IS NOT NULL THEN 'committed'
            ELSE 'sealed' END AS state,
       CASE coalesce(p.assurance, 0) WHEN 2 THEN 'proven' WHEN 1 THEN 'attested' ELSE 'none' END AS assurance,
       c.range_id, c.state AS commit_state, c.tx_hash AS commit_tx, c.gas_used AS commit_gas,
       c.batch_count AS commit_batches, p.state AS prove_state, p.tx_hash AS prove_tx, p.gas_used AS prove_gas,
       p.batch_count AS prove_batches, v.batch_id IS NOT NULL AS has_proof, b.archive_path
FROM batches b
LEFT JOIN commits c ON c.batch_id = b.batch_id
LEFT JOIN proves p ON p.batch_id = b.batch_id
LEFT JOIN proved v ON v.batch_id = b.batch_id
LEFT JOIN ranges r ON r.range_id = c.range_id;
