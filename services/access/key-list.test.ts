import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { KeyService } from "#gen/waymark/access/v1/keys_pb.ts";
import { reasonOf } from "#runtime/failure.ts";
import { type AccessGround, NOW, newFolder, openAccessGround } from "../../test/support/access-ground.ts";
import { keyModel } from "./model.ts";

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

const reason = (work: Promise<unknown>) =>
  work.then(
    () => "passes",
    (error) => [reasonOf(error)?.reason, reasonOf(error)?.metadata.field].filter(Boolean).join(" "),
  );

describe("listing keys", () => {
  const pages = async (pageSize: number) => {
    const found: string[] = [];
    for (let pageToken = ""; ; ) {
      const page = await keys().listKeys({ pageSize, pageToken }, by());
      found.push(...page.keys.map(({ id }) => id));
      if (page.nextPageToken === "") return found;
      pageToken = page.nextPageToken;
    }
  };

  it.each([1, 7, 50, 200, 1000])(
    "over 250 that share three times, %i a page, neither skips nor repeats",
    async (size) => {
      const of = ground.store.collection(keyModel).of(workspace);
      const docs = Array.from({ length: 250 }, (_, index) => ({
        id: `key_${String((index * 101) % 250).padStart(3, "0")}`,
        name: "",
        class: "production",
        scopes: [],
        prefix: "",
        hash: "",
        ipAllowList: [],
        origins: [],
        createdAt: NOW + (index < 210 ? 1 : index < 230 ? 0 : 2),
      }));
      await of.bulk(docs.map((doc) => ({ kind: "insert", doc })));
      const newest = docs.toSorted((a, b) => b.createdAt - a.createdAt || (a.id < b.id ? 1 : -1)).map(({ id }) => id);
      expect(await pages(size)).toEqual(newest);
    },
  );

  it("takes 50 when it is not told, and ends without a token", async () => {
    for (let index = 0; index < 51; index += 1) await make({ name: `k${index}` });
    const first = await keys().listKeys({}, by());
    expect(first.keys).toHaveLength(50);
    const last = await keys().listKeys({ pageToken: first.nextPageToken }, by());
    expect([last.keys.length, last.nextPageToken]).toEqual([1, ""]);
  });

  it("goes on after a key that is gone by now", async () => {
    for (const name of ["a", "b", "c"]) await make({ name });
    const first = await keys().listKeys({ pageSize: 2 }, by());
    await ground.store
      .collection(keyModel)
      .of(workspace)
      .delete(first.keys[1]?.id as string);
    expect((await keys().listKeys({ pageToken: first.nextPageToken }, by())).keys).toHaveLength(1);
  });

  it.each(["garbage", "W10"])("refuses the cursor %s", async (pageToken) => {
    expect(await reason(keys().listKeys({ pageToken }, by()))).toBe("PAGE_TOKEN_INVALID page_token");
  });
});
