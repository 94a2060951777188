import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { AuthorityService } from "#gen/waymark/access/v1/authority_pb.ts";
import { KeyService } from "#gen/waymark/access/v1/keys_pb.ts";
import { reasonOf } from "#runtime/failure.ts";
import { type AccessGround, NOW, newFolder, openAccessGround } from "../../test/support/access-ground.ts";

const folder = newFolder();
let ground: AccessGround;
beforeAll(async () => {
  ground = await openAccessGround(folder.path);
});
afterAll(async () => {
  await ground.stop();
  folder.remove();
});

let workspace = "";
let made = 0;
beforeEach(() => {
  workspace = `ws-${++made}`;
  ground.clock.now = NOW;
});

const keys = () => ground.client(KeyService);
const by = (who: Parameters<AccessGround["by"]>[0] = {}) => ground.by({ workspace, ...who });
const make = (given: Parameters<ReturnType<typeof keys>["createKey"]>[0] = {}) =>
  keys().createKey({ name: "shop", scopes: ["codes:read"], ...given }, by());
const idOf = async (reply: ReturnType<typeof make>): Promise<string> => (await reply).key?.id as string;

/** What a key is answered: its id, or the reason why it is refused. */
async function use(key: string, from: { ip?: string; origin?: string } = {}): Promise<string | undefined> {
  const asked = ground.client(AuthorityService).authenticate({ key, ...from }, ground.by({ workspace: "_" }));
  return asked.then(
    ({ keyId }) => keyId,
    (error) => reasonOf(error)?.reason,
  );
}

const reason = (work: Promise<unknown>) =>
  work.then(
    () => "passes",
    (error) => [reasonOf(error)?.reason, reasonOf(error)?.metadata.field].filter(Boolean).join(" "),
  );

describe("rotating a key", () => {
  it("lets both secrets work until the overlap ends, and then the new one alone", async () => {
    const { key, secret } = await make();
    const keyId = key?.id as string;
    const next = await keys().rotateKey({ keyId, overlapSeconds: 60 }, by());
    expect(next.key).toMatchObject({ id: keyId, prefix: next.secret.slice(0, 8) });
    ground.clock.now += 59_999;
    expect(await Promise.all([use(secret), use(next.secret)])).toEqual([keyId, keyId]);
    ground.clock.now += 1;
    expect(await Promise.all([use(secret), use(next.secret)])).toEqual(["KEY_REVOKED", keyId]);
  });

  it("without overlap ends the old secret, and earlier ones, at once", async () => {
    const { key, secret } = await make();
    const keyId = key?.id as string;
    const second = await keys().rotateKey({ keyId, overlapSeconds: 3600 }, by());
    const third = await keys().rotateKey({ keyId }, by());
    expect(await Promise.all([use(secret), use(second.secret), use(third.secret)])).toEqual([
      "KEY_REVOKED",
      "KEY_REVOKED",
      keyId,
    ]);
  });

  it("twice leaves the first secret its overlap, as when the reply of the first was lost", async () => {
    const { key, secret } = await make();
    const keyId = key?.id as string;
    await keys().rotateKey({ keyId, overlapSeconds: 3600 }, by());
    const again = await keys().rotateKey({ keyId, overlapSeconds: 3600 }, by());
    expect(await Promise.all([use(secret), use(again.secret)])).toEqual([keyId, keyId]);
  });

  it("works while the key is in use", async () => {
    const { key, secret } = await make();
    const keyId = key?.id as string;
    const [rotated] = await Promise.all([
      keys().rotateKey({ keyId, overlapSeconds: 60 }, by()),
      use(secret),
      use(secret),
    ]);
    expect(await use(rotated.secret)).toBe(keyId);
  });

  it("at the same time is won by one; the other is told to try again", async () => {
    const { key } = await make();
    const attempts = [1, 2].map(() => keys().rotateKey({ keyId: key?.id, overlapSeconds: 60 }, by()));
    const outcomes = await Promise.all(attempts.map(reason));
    expect(outcomes.sort()).toEqual(["KEY_CHANGED", "passes"]);
    const winner = (await Promise.allSettled(attempts)).find(({ status }) => status === "fulfilled");
    expect(await use((winner as PromiseFulfilledResult<{ secret: string }>).value.secret)).toBe(key?.id);
  });

  it("is refused when the key is revoked, has ended or is not there", async () => {
    const revoked = await idOf(make());
    await keys().deleteKey({ keyId: revoked }, by());
    const ended = await idOf(make({ expiresAt: timestampFromMs(NOW + 1000) }));
    ground.clock.now += 1000;
    const attempts = [revoked, ended, "key_none"].map((keyId) => reason(keys().rotateKey({ keyId }, by())));
    expect(await Promise.all(attempts)).toEqual(["KEY_ENDED", "KEY_ENDED", "KEY_NOT_FOUND"]);
  });

  it.each([-1, 2_592_001])("does not take an overlap of %i seconds", async (overlapSeconds) => {
    const keyId = await idOf(make());
    expect(await reason(keys().rotateKey({ keyId, overlapSeconds }, by()))).toBe("INVALID_FIELD overlap_seconds");
  });
});
