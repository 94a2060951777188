import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from "node:crypto";
import { equal } from "#runtime/secrets.ts";

/** Which tag a printed id stands for. */
export interface TagAddress {
  workspace: string;
  tagId: string;
}

/** The ids on printed tags. */
export interface EncryptedIds {
  /** The same address always gives the same id. */
  encrypt: (address: TagAddress) => string;
  /** Undefined for anything that `encrypt` of this installation did not make, to the last bit. */
  decrypt: (encryptedId: string) => TagAddress | undefined;
}

const VERSION = Buffer.from([1]);
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const MAX_LENGTH = 512;

/**
 * Opens the printed ids of an installation: base64url of version, nonce, AES-256-GCM ciphertext and tag over workspace and
 * tag id. The nonce is an HMAC of what is encrypted, so that a tag can be printed again; two keys are derived for the two.
 */
export function openEncryptedIds(key: Buffer): EncryptedIds {
  const cipherKey = Buffer.from(hkdfSync("sha256", key, "", "waymark/tags/id", 32));
  const nonceKey = Buffer.from(hkdfSync("sha256", key, "", "waymark/tags/nonce", 32));
  const nonceOf = (plain: Buffer): Buffer =>
    createHmac("sha256", nonceKey).update(plain).digest().subarray(0, NONCE_BYTES);
  return {
    encrypt: ({ workspace, tagId }) => {
      const plain = Buffer.from(`${workspace}\0${tagId}`);
      const nonce = nonceOf(plain);
      const cipher = createCipheriv("aes-256-gcm", cipherKey, nonce).setAAD(VERSION);
      const sealed = [VERSION, nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()];
      return Buffer.concat(sealed).toString("base64url");
    },
    decrypt: (encryptedId) => {
      const bytes = decode(encryptedId);
      const plain = bytes && open(bytes, cipherKey);
      if (plain === undefined || !equal(nonceOf(plain), bytes?.subarray(1, 1 + NONCE_BYTES) as Buffer))
        return undefined;
      const [workspace = "", tagId = ""] = plain.toString("utf8").split("\0");
      return { workspace, tagId };
    },
  };
}

/** The bytes of a base64url text, or undefined when they would be written in another way. */
function decode(text: string): Buffer | undefined {
  if (text.length > MAX_LENGTH) return undefined;
  const bytes = Buffer.from(text, "base64url");
  const canonical = bytes.toString("base64url") === text;
  return canonical && bytes.length > 1 + NONCE_BYTES + TAG_BYTES && bytes[0] === VERSION[0] ? bytes : undefined;
}

function open(bytes: Buffer, key: Buffer): Buffer | undefined {
  const end = bytes.length - TAG_BYTES;
  const nonce = bytes.subarray(1, 1 + NONCE_BYTES);
  try {
    const decipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES }).setAAD(VERSION);
    decipher.setAuthTag(bytes.subarray(end));
    return Buffer.concat([decipher.update(bytes.subarray(1 + NONCE_BYTES, end)), decipher.final()]);
  } catch {
    return undefined; // GCM refuses: not ours
  }
}
