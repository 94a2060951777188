import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import { LRUCache } from "lru-cache";
import type { Secrets } from "./secrets.ts";

/** Seals small texts at rest: AES-256-GCM with a key of one workspace and one use. */
export interface Sealer {
  /** Encrypts a text. `place` says where it is kept ("tags.messages/msg_1"); it opens nowhere else. */
  seal: (text: string, place: string) => string;
  /** Decrypts a text. Throws when it was changed, belongs to another place or workspace, or its key is not here. */
  open: (sealed: string, place: string) => string;
}

/** The generation of keys that seals now. Raising it rotates: what older generations sealed opens on. */
const GENERATION = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
// "1.q83vEjRWeJCrze8SNFZ4kA…": generation, dot, base64url of nonce, ciphertext and tag
const SEALED = /^([1-9][0-9]{0,3})\.([A-Za-z0-9_-]+)$/;

/**
 * Opens the sealers of one use ("messages"), one for each workspace. A workspace's key is derived by HKDF-SHA-256 from the
 * installation's key of that use and generation, so no workspace's texts open with the key of another.
 */
export function openSealers(secrets: Secrets, use: string): (workspace: string) => Sealer {
  const keys = new LRUCache<string, Buffer>({ max: 1_000 });
  const keyOf = (generation: number, workspace: string): Buffer => {
    const name = `${generation}/${workspace}`;
    const known = keys.get(name);
    if (known !== undefined) return known;
    const root = secrets.key(`seal/${use}/${generation}`);
    const key = Buffer.from(hkdfSync("sha256", root, workspace, `waymark/seal/${use}`, 32));
    keys.set(name, key);
    return key;
  };
  return (workspace) => ({
    seal: (text, place) => {
      const sealed = sealBytes(Buffer.from(text), { key: keyOf(GENERATION, workspace), place });
      return `${GENERATION}.${sealed.toString("base64url")}`;
    },
    open: (sealed, place) => {
      const [, generation, body = ""] = SEALED.exec(sealed) ?? [];
      if (generation === undefined) throw new Error(`what is kept at ${place} is not sealed`);
      const key = keyOf(Number(generation), workspace);
      return openBytes(Buffer.from(body, "base64url"), { key, place }).toString("utf8");
    },
  });
}

/** Encrypts bytes with AES-256-GCM: nonce, ciphertext, tag. `place` says where they are kept; they open nowhere else. */
export function sealBytes(bytes: Uint8Array, { key, place }: { key: Buffer; place: string }): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv("aes-256-gcm", key, nonce).setAAD(Buffer.from(place));
  return Buffer.concat([nonce, cipher.update(bytes), cipher.final(), cipher.getAuthTag()]);
}

/** Opens what `sealBytes` made. Throws when it was changed, belongs to another place, or was sealed with another key. */
export function openBytes(sealed: Buffer, { key, place }: { key: Buffer; place: string }): Buffer {
  const nonce = sealed.subarray(0, NONCE_BYTES);
  const end = sealed.length - TAG_BYTES;
  try {
    const decipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES });
    decipher.setAAD(Buffer.from(place)).setAuthTag(sealed.subarray(end));
    return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES, end)), decipher.final()]);
  } catch (cause) {
    throw new Error(`what is kept at ${place} cannot be opened: it was changed, or sealed with another key`, { cause });
  }
}
