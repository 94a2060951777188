import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "./config.ts";

/** Keys of this installation. They live in files of the data folder, readable by the owner alone, or come from settings. */
export interface Secrets {
  /** 32 bytes for one use: "tags", "devices", "principal". The same name gives the same key at each start. */
  key: (name: string) => Buffer;
}

/** Opens the keys of a data folder, making the master key file at first use. */
export function openSecrets(config: Pick<Config, "data" | "tagKey">): Secrets {
  const master = readOrMake(join(config.data, "keys"), "master.key");
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

function decodeKey(text: string): Buffer {
  const key = /^[0-9a-f]{64}$/i.test(text) ? Buffer.from(text, "hex") : Buffer.from(text, "base64");
  if (key.length !== 32) throw new Error("WAYMARK_TAG_KEY must be 32 bytes as hex or base64");
  return key;
}

function readOrMake(folder: string, name: string): Buffer {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, name);
  try {
    writeFileSync(path, randomBytes(32), { mode: 0o600, flag: "wx", flush: true });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "EEXIST") throw cause;
  }
  return readFileSync(path);
}
