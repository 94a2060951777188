import { getOption } from "@bufbuild/protobuf";
import { AuthorityService } from "#gen/waymark/access/v1/authority_pb.ts";
import { method as methodRules } from "#gen/waymark/options/v1/options_pb.ts";
import type { Config } from "#runtime/config.ts";
import { type KeyClass, type RequestContext, SYSTEM_WORKSPACE } from "#runtime/context.ts";
import { fail } from "#runtime/failure.ts";
import type { Hosted } from "#runtime/host.ts";
import { as, internalContext, newId } from "#runtime/internal.ts";
import { type GrpcServer, type GrpcServerOptions, startGrpcServer } from "#runtime/rpc/grpc-server.ts";
import type { Secrets } from "#runtime/secrets.ts";

/** Serves the hosted services over gRPC when a port is set. Callers are held to the same keys and scopes as in REST. */
export async function serveGrpc(given: {
  config: Config;
  hosted: Hosted;
  secrets: Secrets;
}): Promise<GrpcServer | undefined> {
  const { config, hosted, secrets } = given;
  if (config.grpcPort === undefined) return undefined;
  return startGrpcServer({
    address: `${config.host}:${config.grpcPort}`,
    methods: hosted.methods,
    key: secrets.key("envelope"),
    authenticate: authenticator(hosted),
    complete: (envelope) => ({ ...envelope, now: Date.now, newId }),
  });
}

function authenticator({ client }: Hosted): GrpcServerOptions["authenticate"] {
  const caller = as(internalContext(SYSTEM_WORKSPACE));
  return async (key, method): Promise<RequestContext> => {
    const known = await client(AuthorityService).authenticate({ key }, { ...caller, timeoutMs: 5_000 });
    const wanted = getOption(method, methodRules).scopes;
    const isAllowed = known.scopes.includes("admin") || wanted.some((scope) => known.scopes.includes(scope));
    if (!isAllowed) throw fail("PERMISSION_DENIED", { scope: wanted.join(" or ") });
    return {
      principal: {
        workspace: known.workspaceId,
        keyId: known.keyId,
        keyName: known.keyName,
        keyClass: known.keyClass as KeyClass,
        scopes: known.scopes,
        test: known.test,
      },
      requestId: newId("req"),
      ip: "",
      userAgent: "",
      now: Date.now,
      newId,
    };
  };
}
