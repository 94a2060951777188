import { createHmac } from "node:crypto";
import type { Principal, RequestContext } from "../context.ts";
import { equal } from "../secrets.ts";

/** What goes with a call from one Waymark process to another: who calls, for which request. */
export type Envelope = Pick<RequestContext, "principal" | "requestId" | "ip" | "userAgent">;

/** How long a signed envelope holds, in milliseconds: longer than any deadline, shorter than a revocation may take. */
export const ENVELOPE_TTL_MS = 30_000;

interface Signed {
  p: Principal;
  r: string;
  i: string;
  u: string;
  x: number;
}

/** Signs an envelope: base64url JSON, a dot, base64url HMAC-SHA256. */
export function seal(envelope: Envelope, options: { key: Buffer; now: number }): string {
  const signed: Signed = {
    p: envelope.principal,
    r: envelope.requestId,
    i: envelope.ip,
    u: envelope.userAgent,
    x: options.now + ENVELOPE_TTL_MS,
  };
  const body = Buffer.from(JSON.stringify(signed)).toString("base64url");
  return `${body}.${mac(body, options.key).toString("base64url")}`;
}

/** The envelope, or undefined when the signature is wrong or its time is over. */
export function unseal(text: string, options: { key: Buffer; now: number }): Envelope | undefined {
  const [body = "", signature = ""] = text.split(".", 2);
  if (!equal(mac(body, options.key), Buffer.from(signature, "base64url"))) return undefined;
  const signed = JSON.parse(Buffer.from(body, "base64url").toString()) as Signed;
  if (signed.x < options.now) return undefined;
  return { principal: signed.p, requestId: signed.r, ip: signed.i, userAgent: signed.u };
}

function mac(body: string, key: Buffer): Buffer {
  return createHmac("sha256", key).update(body).digest();
}
