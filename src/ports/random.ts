/** The randomness port: a secure source in production, a seeded one in simulation. */

export interface Random {
  /** An integer in [0, 2^32). */
  u32(): number;
}
