import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Code, ConnectError } from "@connectrpc/connect";
import { IpSetting } from "#gen/waymark/access/v1/authority_pb.ts";
import { KeyService } from "#gen/waymark/access/v1/keys_pb.ts";
import { WorkspaceService } from "#gen/waymark/access/v1/workspaces_pb.ts";
import type { Config } from "#runtime/config.ts";
import { as, internalContext } from "#runtime/internal.ts";
import type { ClientOf } from "#runtime/rpc/clients.ts";
import { seedCodes } from "./codes.ts";
import { seedPosters } from "./posters.ts";
import { seedTags } from "./tags.ts";
import { seedTouchpoints } from "./touchpoints.ts";

/** The workspace of the demo. */
export const DEMO_WORKSPACE = "demo";

/** What the greeting needs of the demo. */
export interface Demo {
  /** A production key of the demo workspace. It opens invented data only, so it may lie in a file. */
  key: string;
  /** The printed id of the "House Keys" tag. */
  encryptedId: string;
}

/** What seeding works with. */
export interface Seeding {
  client: ClientOf;
  /** Calls in the name of the demo workspace. */
  caller: ReturnType<typeof as>;
  /** Milliseconds since 1970; history ends here. */
  now: number;
}

/**
 * Seeds the demo workspace into an empty installation: the objects of the documents' examples and four weeks of invented
 * history, each touch with `"demo": true` in its metadata. A seeding that was cut short goes on at the next start.
 */
export async function seedDemo(given: {
  config: Config;
  client: ClientOf;
  /** The installation was empty when it was opened. */
  isNew: boolean;
  idle: () => Promise<void>;
}): Promise<Demo | undefined> {
  const { config, client } = given;
  const path = join(config.data, "keys", "demo.json");
  const begun = existsSync(path);
  if (begun) {
    const demo = JSON.parse(readFileSync(path, "utf8")) as Partial<Demo>;
    if (demo.key !== undefined && demo.encryptedId !== undefined) return demo as Demo;
  }
  if (config.demo === "off" || !(begun || given.isNew)) return undefined;
  save(path, {});
  const seeding = { client, caller: as(internalContext(DEMO_WORKSPACE)), now: Date.now() };
  const key = await makeWorkspace(seeding);
  await seedCodes(seeding);
  const [encryptedId] = await Promise.all([seedTags(seeding), seedPosters(seeding), seedTouchpoints(seeding)]);
  await given.idle();
  const demo = { key, encryptedId };
  save(path, demo);
  return demo;
}

async function makeWorkspace({ client, caller }: Seeding): Promise<string> {
  const workspaces = client(WorkspaceService);
  await once(
    workspaces.createWorkspace(
      { id: DEMO_WORKSPACE, name: "Demo Hotel Group", ownerEmail: "demo@example.com" },
      caller,
    ),
  );
  await workspaces.updateWorkspace({ privacy: { ip: IpSetting.FULL } }, caller);
  const { scopes } = await client(KeyService).listScopes({}, caller);
  const names = scopes.map(({ name }) => name).filter((name) => name !== "admin");
  const { secret } = await client(KeyService).createKey(
    { name: "demo key", class: "production", scopes: names },
    caller,
  );
  return secret;
}

/** Waits for a creation; that the object is there already, from a seeding that was cut short, is fine too. */
export async function once(creation: Promise<unknown>): Promise<void> {
  try {
    await creation;
  } catch (error) {
    if (!(error instanceof ConnectError) || error.code !== Code.AlreadyExists) throw error;
  }
}

/** Writes the file as a whole, so that a crash leaves the old one or the new one. */
function save(path: string, demo: Partial<Demo>): void {
  mkdirSync(join(path, ".."), { recursive: true, mode: 0o700 });
  const temporary = `${path}.${randomUUID()}`;
  writeFileSync(temporary, JSON.stringify(demo), { mode: 0o600, flush: true });
  renameSync(temporary, path);
}
