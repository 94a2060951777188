import { DeviceIdentitySetting } from "#gen/waymark/access/v1/authority_pb.ts";
import { DeviceChange } from "#gen/waymark/analytics/v1/revisions_pb.ts";
import { type DecidedDevice, RegistryService } from "#gen/waymark/scans/v1/registry_pb.ts";
import { as, internalContext } from "#runtime/internal.ts";
import { deviceKey } from "../device-key.ts";
import type { Session } from "../engine/duck.ts";
import type { Params } from "../engine/query.ts";
import { fail } from "../reasons.ts";
import { DECIDED_TABLE, WORN_TABLE } from "./devices-sql.ts";
import type { Judging } from "./judge.ts";
import type { IdentityRules } from "./model.ts";

/** So many are decided at once: a pseudonym is made some times for each, and others wait. */
const DEVICES_AT_ONCE = 1_000;

const DEADLINE_MS = 10_000;

const COLUMNS = ["n", "device", "device_key", "device_change", "unknown"];
const INSERT = `INSERT INTO decided SELECT n, device, device_key, device_change, unknown = 1
  FROM (SELECT ${COLUMNS.map((name) => `unnest($${name}) AS ${name}`).join(", ")})`;

/** Whose touches are decided, and the most that may be of another device. */
export interface DecidingDevices extends Judging {
  rules: IdentityRules;
  most: number;
}

/** Has `scans`, which alone can make pseudonyms, decide which device each kind of touch in the table `ruled` is of. */
export async function decideDevices(session: Session, deciding: DecidingDevices): Promise<void> {
  const { client, workspace, signal, onProgress, rules, most } = deciding;
  await session.run(WORN_TABLE);
  await session.run(DECIDED_TABLE);
  const [{ kinds = 0n } = {}] = await session.rows("SELECT count(*) AS kinds FROM worn");
  const options = { ...as(internalContext(workspace)), signal, timeoutMs: DEADLINE_MS };
  const { ignoreVersions, devices = DeviceIdentitySetting.UNSPECIFIED } = rules;
  let changed = 0;
  for (let first = 1; first <= Number(kinds); first += DEVICES_AT_ONCE) {
    const some = await session.rows("SELECT * FROM worn WHERE n BETWEEN $first AND $last ORDER BY n", {
      first: BigInt(first),
      last: BigInt(first + DEVICES_AT_ONCE - 1),
    });
    const touches = some.map((row) => ({
      ...{ deviceId: String(row.device_id), ip: String(row.ip), userAgent: String(row.user_agent) },
      day: Number(row.day),
    }));
    const answer = await client(RegistryService).decideDevices({ touches, ignoreVersions, devices }, options);
    const changes = answer.devices.map((one) => changeOf(one, devices));
    for (const [at, change] of changes.entries()) if (change > 0) changed += Number(some[at]?.touches ?? 0);
    if (changed > most) throw fail("REVISION_TOO_LARGE", { most, changed });
    await session.run(INSERT, paramsOf(answer.devices, { changes, first }));
    await onProgress(Math.min(1, (first + DEVICES_AT_ONCE) / Number(kinds)));
  }
}

/** The rule that decided last. */
function changeOf({ withoutVersions, otherPeriod }: DecidedDevice, devices: DeviceIdentitySetting): DeviceChange {
  if (otherPeriod) return devices === DeviceIdentitySetting.DAILY ? DeviceChange.DAILY : DeviceChange.STABLE;
  return withoutVersions ? DeviceChange.VERSIONS : DeviceChange.UNSPECIFIED;
}

function paramsOf(
  devices: readonly DecidedDevice[],
  { changes, first }: { changes: readonly DeviceChange[]; first: number },
): Params {
  return {
    n: devices.map((_one, index) => BigInt(first + index)),
    device: devices.map(({ deviceId }) => deviceId),
    device_key: devices.map(({ deviceId }) => deviceKey(deviceId)),
    device_change: changes.map(BigInt),
    unknown: devices.map(({ unknown }) => (unknown ? 1n : 0n)),
  };
}
