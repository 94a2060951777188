import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Config, decodeKey } from "./config.ts";

/** Keys of this installation. They live in files of the data folder, readable by the owner alone, or come from settings. */
export interface Secrets {
  /** 32 bytes for one use: "tags", "devices", "principal". The same name gives the same key at each start. */
  key: (name: string) => Buffer;
}

/** Opens the keys that come from WAYMARK_MASTER_KEY, or from the file of a data folder that this process holds, made at first use. */
export function openSecrets(config: Pick<Config, "data" | "tagKey"> & Partial<Pick<Config, "masterKey">>): Secrets {
  const { masterKey } = config;
  const master = masterKey ? decodeKey(masterKey) : readOrMake(join(config.data, "keys"), "master.key");
  const fromSetting = config.tagKey ? decodeKey(config.tagKey) : undefined;
  return {
    key: (name) => {
      if (name === "tags" && fromSetting !== undefined) return fromSetting;
      return createHmac("sha256", master).update(`waymark/${name}`).digest();
    },
  };
}

/** Compares without telling by time where they differ. */
export function equal(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

/** Bytes of the master key. */
const MASTER_BYTES = 32;

function readOrMake(folder: string, name: string): Buffer {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, name);
  if (!existsSync(path)) make(path);
  const key = readFileSync(path);
  // Anything else would be taken for a key as well, and what was sealed with the right one could not be read again.
  if (key.length !== MASTER_BYTES) {
    throw new Error(
      `${path} is damaged: it has ${key.length} bytes in place of ${MASTER_BYTES}; restore it from a backup`,
    );
  }
  return key;
}

/** Whole or not at all, and on the disk: a process that is killed meanwhile must not leave a short key behind. */
function make(path: string): void {
  const temporary = `${path}.new`;
  rmSync(temporary, { force: true });
  writeFileSync(temporary, randomBytes(MASTER_BYTES), { mode: 0o600, flag: "wx", flush: true });
  renameSync(temporary, path);
}
