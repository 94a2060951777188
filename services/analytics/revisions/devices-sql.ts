import { DeviceIdentitySetting } from "#gen/waymark/access/v1/authority_pb.ts";
import { DeviceChange } from "#gen/waymark/analytics/v1/revisions_pb.ts";
import type { Params } from "../engine/query.ts";
import type { IdentityRules, Rules } from "./model.ts";
import { type Range, ruledSql } from "./sql.ts";

const OWNERS = "(SELECT device_key, visitor_key FROM identities WHERE workspace = $workspace AND test = $test)";

/**
 * All touches of a range as the bot rules judge them. `is_asked`: its device may be decided again, since it counts and nobody has
 * said anything of whom the device belongs to.
 */
export function ruledTable(range: Range, rules: Rules): string {
  return `CREATE TEMP TABLE ruled AS SELECT r.*, CAST(floor(r.scanned_at / 86400000.0) AS BIGINT) AS day,
      r.goes = '' AND r.device_id IS NOT NULL AND i.device_key IS NULL AS is_asked
    FROM (${ruledSql(range, rules)}) r LEFT JOIN ${OWNERS} i ON i.device_key = r.device_key`;
}

/** What a device is decided by, numbered from 1: those of a day and a user agent together. */
export const WORN_TABLE = `CREATE TEMP TABLE worn AS SELECT row_number() OVER (ORDER BY day, user_agent, device_id, ip) AS n, *
  FROM (SELECT day, user_agent, device_id, ip, count(*) AS touches FROM ruled WHERE is_asked GROUP BY ALL)`;

/** Which device each of them is. */
export const DECIDED_TABLE =
  "CREATE TEMP TABLE decided (n BIGINT, device VARCHAR, device_key BIGINT, device_change BIGINT, unknown BOOLEAN)";

/** Whether these rules have to ask which device a touch is of. */
export function asksDevices({ ignoreVersions, devices }: IdentityRules): boolean {
  return devices !== DeviceIdentitySetting.NONE && (ignoreVersions || devices !== undefined);
}

/** The values of the rules. */
export function deviceParamsOf({ maxPerDay }: IdentityRules): Params {
  return maxPerDay === undefined ? {} : { shared: BigInt(maxPerDay) };
}

/** The same as `changedTable`, made of the tables above, with the device that each touch is of by the identity rules. */
export function changedDevicesTable(rules: IdentityRules): string {
  const isShared =
    rules.maxPerDay === undefined
      ? "false"
      : `is_asked AND device IS NOT NULL AND NOT is_owned
         AND count(*) OVER (PARTITION BY goes = '', device, day) > $shared`;
  const changes = "(comes <> goes OR device_change > 0)";
  return `CREATE TEMP TABLE changed AS WITH placed AS (${placedSql(rules)}),
    owned AS (SELECT p.*, i.device_key IS NOT NULL AS is_owned, coalesce(i.visitor_key, p.key) AS visitor
      FROM placed p LEFT JOIN ${OWNERS} i ON i.device_key = p.key),
    shared AS (SELECT *, (${isShared}) AS is_shared FROM owned),
    last AS (SELECT * EXCLUDE (device, device_id, change, visitor), device_id AS device_before,
        CASE WHEN is_shared THEN NULL ELSE device END AS device_after, CASE WHEN is_shared THEN NULL ELSE visitor END AS visitor_after,
        CASE WHEN is_shared THEN ${DeviceChange.SHARED} ELSE change END AS device_change FROM shared)
    SELECT CASE WHEN ${changes} THEN row_number() OVER (PARTITION BY ${changes} ORDER BY link_id, id) END AS n,
      row_id, id, link_id, scanned_at, comes, goes, kind, unjudged, actor, is_built_in,
      device_change, device_before, device_after, visitor_after, unjudged_device
    FROM last WHERE ${changes} OR unjudged OR unjudged_device`;
}

/** Each touch with the device that the rules give it before they look for shared ones. */
function placedSql(rules: IdentityRules): string {
  if (rules.devices === DeviceIdentitySetting.NONE)
    return `SELECT *, CASE WHEN is_asked THEN NULL ELSE device_id END AS device,
      CASE WHEN is_asked THEN NULL ELSE device_key END AS key,
      CASE WHEN is_asked THEN ${DeviceChange.NONE} ELSE 0 END AS change, false AS unjudged_device FROM ruled`;
  if (!asksDevices(rules))
    return "SELECT *, device_id AS device, device_key AS key, 0 AS change, false AS unjudged_device FROM ruled";
  return `SELECT r.*, coalesce(d.device, r.device_id) AS device, coalesce(d.device_key, r.device_key) AS key,
      coalesce(d.device_change, 0) AS change, coalesce(d.unknown, false) AS unjudged_device
    FROM ruled r LEFT JOIN (SELECT * FROM worn JOIN decided USING (n)) d ON d.device_id = CASE WHEN r.is_asked THEN r.device_id END
      AND d.day = r.day AND d.user_agent = r.user_agent AND d.ip = r.ip`;
}
