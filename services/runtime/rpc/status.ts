import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Any, anyPack } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { Metadata, type ServiceError, type StatusObject } from "@grpc/grpc-js";
import { BadRequestSchema, ErrorInfoSchema } from "#gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "#gen/google/rpc/status_pb.ts";

const DETAILS = "grpc-status-details-bin";

/** A refusal as gRPC sends it: code, sentence, and the details as google.rpc.Status. */
export function toStatus(
  error: unknown,
): Partial<StatusObject> & { code: number; details: string; metadata: Metadata } {
  const refusal = ConnectError.from(error);
  const metadata = new Metadata();
  const details: Any[] = [
    ...refusal.findDetails(ErrorInfoSchema).map((detail) => anyPack(ErrorInfoSchema, detail)),
    ...refusal.findDetails(BadRequestSchema).map((detail) => anyPack(BadRequestSchema, detail)),
  ];
  if (details.length > 0) {
    const status = create(StatusSchema, { code: refusal.code, message: refusal.rawMessage, details });
    metadata.set(DETAILS, Buffer.from(toBinary(StatusSchema, status)));
  }
  return { code: refusal.code as number, details: refusal.rawMessage, metadata };
}

/** The refusal that a gRPC status stands for, with its details. */
export function fromStatus(error: ServiceError): ConnectError {
  const code = error.code in Code ? (error.code as number as Code) : Code.Unknown;
  const refusal = new ConnectError(error.details, code, undefined, undefined, error);
  const [packed] = error.metadata?.get(DETAILS) ?? [];
  if (packed === undefined) return refusal;
  for (const any of fromBinary(StatusSchema, Buffer.from(packed)).details) {
    refusal.details.push({ type: any.typeUrl.slice(any.typeUrl.lastIndexOf("/") + 1), value: any.value });
  }
  return refusal;
}
