/**
 * Errors of the data API: one table from codes to HTTP, and the body that says what happened
 * (`application/problem+json`, RFC 9457).
 *
 * The picture: a delivery slip. The status tells programs which pile it belongs on; `outcome` tells whether the
 * parcel was delivered (`unknown`: perhaps), and that is never left to guessing from the status.
 */

import { CodedError, type ErrorCode, type Outcome } from '../../base/errors.ts';

/** Codes that only this door gives, beside those of `src/base/errors.ts`. */
export type DoorCode =
  | 'not-found'
  | 'no-such-page'
  | 'method-not-allowed'
  | 'precondition-failed'
  | 'not-acceptable'
  | 'wrong-type'
  | 'unauthorized'
  | 'host-refused'
  | 'origin-refused'
  | 'body-too-large'
  | 'answer-too-large'
  | 'unsupported-media-type'
  | 'request-timeout'
  | 'headers-too-large'
  | 'internal';

export type ProblemCode = ErrorCode | DoorCode;

interface ProblemKind {
  readonly status: number;
  readonly title: string;
  /** The same request may succeed later, or at another node. */
  readonly retryable: boolean;
}

function kind(status: number, title: string, retryable = false): ProblemKind {
  return { status, title, retryable };
}

/** Every code, its status, and whether trying again can help. docs/http.md shows this table. */
export const PROBLEM_KINDS: Readonly<Record<ProblemCode, ProblemKind>> = {
  'quorum-unreachable': kind(503, 'Too few replicas can be reached', true),
  'deadline-exceeded': kind(504, 'The quorum did not answer in time', true),
  overloaded: kind(503, 'The node has too much to do', true),
  unavailable: kind(503, 'The node cannot serve now', true),
  'pair-too-large': kind(413, 'Key and value are too large'),
  'clock-offset': kind(503, 'The clock of the node is doubted', true),
  'storage-failed': kind(500, 'Storage failed', true),
  'storage-full': kind(507, 'Storage is full', true),
  corrupt: kind(500, 'Stored bytes are damaged', true),
  protocol: kind(502, 'A node answered nonsense', true),
  straggler: kind(503, 'The write came too late', true),
  unsupported: kind(503, 'A node does not know this operation', true),
  siblings: kind(409, 'The key has several siblings'),
  'siblings-full': kind(409, 'The key has as many siblings as allowed'),
  invalid: kind(400, 'The request cannot be understood'),
  'not-found': kind(404, 'No such key'),
  'no-such-page': kind(404, 'No such page'),
  'method-not-allowed': kind(405, 'Not that method here'),
  'precondition-failed': kind(412, 'The key is not as the request expects'),
  'not-acceptable': kind(406, 'The value is not of the kind asked for'),
  'wrong-type': kind(409, 'The key holds another type'),
  unauthorized: kind(401, 'A password is needed'),
  'host-refused': kind(421, 'Not a host name of this node'),
  'origin-refused': kind(403, 'Requests from other sites are refused'),
  'body-too-large': kind(413, 'The body is too large'),
  'answer-too-large': kind(413, 'The answer is too large'),
  'unsupported-media-type': kind(415, 'Not a media type for this'),
  'request-timeout': kind(408, 'The request did not arrive in time', true),
  'headers-too-large': kind(431, 'The headers are too large'),
  internal: kind(500, 'A bug in the server'),
};

export const PROBLEM_TYPE = 'application/problem+json';

/** Seconds after which a client may try again. */
const retryAfterSeconds = 1;

/** What is thrown in this folder: a code of the table with the words for this case. */
export class Problem extends Error {
  readonly code: ProblemCode;
  readonly outcome: Outcome;
  /** Headers that go with it. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    code: ProblemCode,
    detail: string,
    outcome: Outcome = 'none',
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(detail);
    this.code = code;
    this.outcome = outcome;
    this.headers = headers;
  }

  get status(): number {
    return PROBLEM_KINDS[this.code].status;
  }
}

/** The body of an error. */
export interface ProblemBody {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: ProblemCode;
  /** What became of the data: `fail` nothing was written nor will be, `unknown` it may have been, `none` for a read. */
  readonly outcome: Outcome;
  /** Sending the same request again may help and does no harm. */
  readonly retryable: boolean;
}

/**
 * @param repeatable doing it twice is as good as once: decides whether an `unknown` outcome may be retried
 */
export function problemBody(
  { code, outcome, message }: Pick<Problem, 'code' | 'outcome' | 'message'>,
  repeatable: boolean,
): ProblemBody {
  const { status, title, retryable } = PROBLEM_KINDS[code];
  return {
    type: `urn:dure:problem:${code}`,
    title,
    status,
    detail: message,
    code,
    outcome,
    retryable: retryable && (outcome !== 'unknown' || repeatable),
  };
}

/** The same with the outcome that fits what was asked: a read writes nothing, and a write that did nothing failed. */
export function settledProblem(problem: Problem, isRead: boolean): Problem {
  const outcome = isRead ? 'none' : problem.outcome === 'none' ? 'fail' : problem.outcome;
  if (outcome === problem.outcome) return problem;
  return new Problem(problem.code, problem.message, outcome, problem.headers);
}

/** Headers of an error beside its type. */
export function problemHeaders(
  problem: Pick<Problem, 'code' | 'outcome'> & Partial<Problem>,
): Readonly<Record<string, string>> {
  const again = PROBLEM_KINDS[problem.code].status === 503 || problem.code === 'storage-full';
  return {
    'dure-outcome': problem.outcome,
    ...(again ? { 'retry-after': String(retryAfterSeconds) } : {}),
    ...problem.headers,
  };
}

/** Any error as a problem; undefined for one that is a bug of ours. */
export function problemOf(error: unknown): Problem | undefined {
  if (error instanceof Problem) return error;
  if (error instanceof CodedError) return new Problem(error.code, error.message, error.outcome);
  const { code, statusCode, message } = error as { code?: string; statusCode?: number; message?: string };
  switch (code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new Problem(
        'body-too-large',
        'the body is larger than this page takes; nothing was done',
        'fail',
      );
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new Problem('unsupported-media-type', 'the content-type cannot be understood; nothing was done');
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
      return new Problem('invalid', 'the body is not as long as content-length says; nothing was done');
    default:
      // Other mistakes of the client that Fastify finds: all with a status below 500.
      if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
        return new Problem('invalid', `${message ?? 'the request cannot be understood'}; nothing was done`);
      }
      return undefined;
  }
}

const repeatables: WeakSet<object> = new WeakSet();

/** Notes that a request may be sent again even if its first time took effect. */
export function markRepeatable(request: object): void {
  repeatables.add(request);
}

export function isMarkedRepeatable(request: object): boolean {
  return repeatables.has(request);
}
