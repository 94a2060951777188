import { Code } from "@connectrpc/connect";
import { failures } from "#runtime/failure.ts";

/** Refusals of the access service. */
export const fail = failures("access.waymark", {
  TOKEN_CLASS_UNKNOWN: {
    code: Code.InvalidArgument,
    say: (f) => `${f.field} must be production, development or analytics`,
  },
  KEY_NOT_FOUND: { code: Code.NotFound, say: (f) => `key ${f.keyId} does not exist` },
  KEY_ENDED: { code: Code.FailedPrecondition, say: (f) => `key ${f.keyId} is revoked or has expired; make a new one` },
  KEY_CHANGED: { code: Code.Aborted, say: (f) => `key ${f.keyId} was changed at the same time; try again` },
  KEY_ABOVE: {
    code: Code.PermissionDenied,
    say: (f) => `key ${f.keyId} can do more than yours; use one that holds all its scopes`,
  },
  SECRETS_MANY: {
    code: Code.FailedPrecondition,
    say: (f) =>
      `key ${f.keyId} has ${f.count} earlier secrets that still work; rotate with overlapSeconds 0 to end them`,
  },
  SCOPE_UNKNOWN: {
    code: Code.InvalidArgument,
    say: (f) => `${f.field} has an unknown scope ${f.scope}; GET /waymark/v1/scopes lists all`,
  },
  SCOPE_NOT_HELD: {
    code: Code.PermissionDenied,
    say: (f) => `this key cannot grant ${f.scope}, because it does not hold it`,
  },
  SCOPE_NOT_IN_CLASS: {
    code: Code.InvalidArgument,
    say: (f) => `${f.field} has ${f.scope}, which a key of class ${f.class} cannot hold`,
  },
  CLASS_NOT_ALLOWED: { code: Code.PermissionDenied, say: () => "only an admin key has a say over admin keys" },
  TEST_KEYS_ONLY: {
    code: Code.PermissionDenied,
    say: () => "a development key has a say over development keys alone; use another key",
  },
  ORIGIN_NEEDED: {
    code: Code.InvalidArgument,
    say: (f) => `${f.field} needs at least one web origin for a publishable key`,
  },
  ADDRESS_INVALID: { code: Code.InvalidArgument, say: (f) => `${f.field} must be an address or CIDR, as 192.0.2.0/24` },
  ORIGIN_INVALID: {
    code: Code.InvalidArgument,
    say: (f) => `${f.field} must be a web origin, as https://shop.example`,
  },
  EXPIRY_PAST: { code: Code.InvalidArgument, say: (f) => `${f.field} must be in the future` },
  TIMEZONE_UNKNOWN: {
    code: Code.InvalidArgument,
    say: (f) => `${f.field} must be an IANA time zone, as Europe/Berlin`,
  },
  PAGE_TOKEN_INVALID: { code: Code.InvalidArgument, say: (f) => `${f.field} is not from this list; begin without it` },
  WORKSPACE_EXISTS: { code: Code.AlreadyExists, say: (f) => `a workspace ${f.workspaceId} exists already` },
  WORKSPACE_NOT_FOUND: { code: Code.NotFound, say: (f) => `organization ${f.workspaceId} does not exist` },
  NOT_OPERATOR: { code: Code.PermissionDenied, say: () => "only an admin key of the workspace default can do this" },
});
