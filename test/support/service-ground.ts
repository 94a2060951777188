import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DescService } from "@bufbuild/protobuf";
import type { CallOptions, Client } from "@connectrpc/connect";
import { readConfig } from "#runtime/config.ts";
import type { Principal } from "#runtime/context.ts";
import { hostServices } from "#runtime/host.ts";
import { as, newId } from "#runtime/internal.ts";
import { openSqliteLog } from "#runtime/log.sqlite.ts";
import type { Log } from "#runtime/log.ts";
import { openLogger } from "#runtime/logger.ts";
import { poisonModel } from "#runtime/runner/poison.ts";
import { runProjections } from "#runtime/runner.ts";
import { openSecrets } from "#runtime/secrets.ts";
import type { ServiceDefinition } from "#runtime/service.ts";
import { openSqliteStore } from "#runtime/store.sqlite.ts";
import type { Store } from "#runtime/store.ts";

/** Services at work in this process, over a store and a log in a folder of their own. */
export interface ServiceGround {
  store: Store;
  log: Log;
  client: <S extends DescService>(service: S) => Client<S>;
  /** Resolves when the projections have done all that is on the log. */
  settle: () => Promise<void>;
  /** Time as handlers see it. */
  clock: { now: number };
  /** Call options in the name of a key of a workspace. */
  by: (who?: Partial<Principal>) => CallOptions;
  close: () => Promise<void>;
}

/** Hosts services with their interceptors and projections as the all-in-one does. */
export async function openServiceGround(services: readonly ServiceDefinition[], now: number): Promise<ServiceGround> {
  const folder = mkdtempSync(join(tmpdir(), "waymark-ground-"));
  const config = readConfig({ WAYMARK_DATA: folder });
  const models = [poisonModel, ...services.flatMap(({ collections }) => collections)];
  const store = openSqliteStore({ path: join(folder, "store.db"), models });
  const log = await openSqliteLog({ path: join(folder, "log.db") });
  const logger = openLogger("silent");
  const ground = { config, store, log, logger, secrets: openSecrets(config), announce: () => {} };
  const hosted = await hostServices(services, ground);
  const projections = services.flatMap((service) => service.projections ?? []);
  const runner = runProjections({ projections, store, log, now: Date.now });
  const clock = { now };
  const by = (who: Partial<Principal> = {}) => as({ ...nobody, principal: { ...key, ...who }, now: () => clock.now });
  const close = async () => {
    await runner.stop();
    await hosted.stop();
    await store.close();
    await log.close();
    rmSync(folder, { recursive: true });
  };
  return { store, log, client: hosted.client, settle: runner.idle, clock, by, close };
}

const nobody = { requestId: "req_1", ip: "", userAgent: "", newId };
const key: Principal = {
  workspace: "acme",
  keyId: "key_1",
  keyName: "test",
  keyClass: "production",
  scopes: ["admin"],
  test: false,
};
