/**
 * Versions: what Dure says it is. Clients choose what they send by the version of Redis they think they
 * talk to, so that one names the Redis whose commands and replies Dure follows.
 */

/** Sent as `redis_version` and in HELLO. Differential tests compare with a Redis 7.0 server. */
export const REDIS_VERSION = '7.2.4';
