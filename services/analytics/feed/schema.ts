import { createHash } from "node:crypto";
import { COLUMNS } from "./columns.ts";

/**
 * Tables and views of the file. All of it can be made again from the log and the store.
 *
 * `identities`: which visitor a device belongs to, once somebody was identified; a device without a row is a visitor of
 * its own, `vis_` and its pseudonym. `visitors`: those who were identified; `attributes`: what is known of them, a row a
 * key. `gone_visitors`: those who were forgotten, or are part of another one now. `links`: codes by id, deleted ones too.
 * `tombstones`: events that are gone. `changed` is where on the log that was said last.
 * `complete`: the feed has once had all that was on the log.
 */
const TABLES: readonly string[] = [
  `CREATE TABLE events (${COLUMNS.map(({ name, type }) => `${name} ${type}`).join(", ")})`,
  `CREATE TABLE identities (workspace VARCHAR, test BOOLEAN, device_key BIGINT, device_id VARCHAR, visitor_key BIGINT,
    visitor_id VARCHAR)`,
  `CREATE TABLE visitors (workspace VARCHAR, test BOOLEAN, visitor_key BIGINT, visitor_id VARCHAR, email VARCHAR,
    phone VARCHAR, first_name VARCHAR, last_name VARCHAR, identified_at BIGINT, updated_at BIGINT, changed BIGINT)`,
  `CREATE TABLE gone_visitors (workspace VARCHAR, test BOOLEAN, visitor_key BIGINT, visitor_id VARCHAR, changed BIGINT,
    gone_at BIGINT, reason VARCHAR)`,
  `CREATE TABLE attributes (workspace VARCHAR, test BOOLEAN, visitor_key BIGINT, key VARCHAR, type VARCHAR, text VARCHAR,
    number DOUBLE, truth BOOLEAN, time BIGINT, recorded_at BIGINT)`,
  `CREATE TABLE links (workspace VARCHAR, test BOOLEAN, link_id VARCHAR, name VARCHAR, short_id VARCHAR, destination VARCHAR,
    status VARCHAR, tags VARCHAR[], created_at BIGINT, changed BIGINT)`,
  `CREATE TABLE tombstones (workspace VARCHAR, test BOOLEAN, id VARCHAR, link_id VARCHAR, position BIGINT, changed BIGINT,
    gone_at BIGINT, reason VARCHAR)`,
  "CREATE TABLE watermark (position BIGINT, complete BOOLEAN, appended_at BIGINT)",
  "INSERT INTO watermark VALUES (0, false, 0)",
  // Events with the visitor that each belongs to. What is asked about people is asked of this view.
  `CREATE VIEW touches AS SELECT e.rowid AS row_id, e.*, coalesce(i.visitor_key, e.device_key) AS visitor_key,
    coalesce(i.visitor_id, 'vis_' || e.device_id) AS visitor_id
    FROM events e LEFT JOIN identities i
      ON i.workspace = e.workspace AND i.test = e.test AND i.device_key = e.device_key`,
];

/** Changes when tables do not, but what the feed writes into them does. */
const MEANING = 2;

/** A file with another fingerprint is of another version, and is made again. */
export const FINGERPRINT: string = createHash("sha256")
  .update(JSON.stringify([MEANING, TABLES]))
  .digest("hex");

/** Statements that make the tables in a new file. */
export const SCHEMA: readonly string[] = [
  ...TABLES,
  "CREATE TABLE version (fingerprint VARCHAR)",
  `INSERT INTO version VALUES ('${FINGERPRINT}')`,
];
