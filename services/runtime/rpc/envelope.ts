import { createHmac } from "node:crypto";
import type { Principal, RequestContext } from "../context.ts";
import { equal } from "../secrets.ts";

/** What goes with a call from one Waymark process to another: who calls, for which request. */
export type Envelope = Pick<RequestContext, "principal" | "requestId" | "ip" | "userAgent" | "method" | "seed">;

/** How long a signed envelope holds, in milliseconds: longer than any deadline, shorter than a revocation may take. */
export const ENVELOPE_TTL_MS = 30_000;

interface Signed {
  p: Principal;
  r: string;
  i: string;
  u: string;
  m?: string | undefined;
  s?: string | undefined;
  x: number;
}

/** Signs an envelope: base64url JSON, a dot, base64url HMAC-SHA256. */
export function seal(envelope: Envelope, options: { key: Buffer; now: number }): string {
  const signed: Signed = {
    p: envelope.principal,
    r: envelope.requestId,
    i: envelope.ip,
    u: envelope.userAgent,
    m: envelope.method,
    s: envelope.seed,
    x: options.now + ENVELOPE_TTL_MS,
  };
  const body = Buffer.from(JSON.stringify(signed)).toString("base64url");
  return `${body}.${mac(body, options.key)}`;
}

/** The envelope, or undefined when it is not as we sealed it, to the letter, or its time is over. */
export function unseal(text: string, options: { key: Buffer; now: number }): Envelope | undefined {
  const dot = text.indexOf(".");
  if (dot < 0) return undefined;
  const body = text.slice(0, dot);
  if (!equal(Buffer.from(mac(body, options.key)), Buffer.from(text.slice(dot + 1)))) return undefined;
  const signed = JSON.parse(Buffer.from(body, "base64url").toString()) as Signed;
  if (signed.x <= options.now) return undefined;
  return {
    principal: signed.p,
    requestId: signed.r,
    ip: signed.i,
    userAgent: signed.u,
    method: signed.m,
    seed: signed.s,
  };
}

function mac(body: string, key: Buffer): string {
  return createHmac("sha256", key).update(body).digest("base64url");
}
