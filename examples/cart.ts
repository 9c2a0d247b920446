/**
 * A shopping cart that merges: whatever two devices put in at the same time, on two sides of a cut network or
 * a millisecond apart, is in the cart afterwards.
 *
 * `npm start`, and in another terminal `npx node examples/cart.ts [host:port …]`
 *
 * The picture: a cloakroom. Each time something is put in it gets a ticket that nobody else ever gets. A cart is the
 * tickets that hang there and the numbers of those that were taken down. Two carts merge into one by putting all
 * tickets together and leaving out those that were taken down in either. So
 *
 * - nothing that was put in is lost, on whichever side;
 * - what was taken out stays out, even if the other side still had it (in Amazon's own cart it came back:
 *   DeCandia et al. 2007, section 4.4);
 * - what is put in while another device takes the same item out stays in: its ticket had not been seen;
 * - merging twice, in any order, gives the same, so it does no harm that a write is repeated.
 *
 * The cluster does its part by keeping concurrent carts side by side (`siblings`) until somebody merges them. Here
 * the client asks for that; a cluster of one's own says it once, for all keys of the prefix:
 * `policies: [{prefix: 'cart:', policy: 'PA/EC SIBLINGS TTL=30d'}]`.
 */

import { randomBytes } from 'node:crypto';
// In a project of your own: from 'dure/client'.
import { type Client, connect, DureError, type Space } from '../client/index.ts';

export interface Cart {
  /** What lies in the cart, by ticket. */
  readonly lines: Readonly<Record<string, Line>>;
  /** Tickets of what was taken out. */
  readonly taken: readonly string[];
}

export interface Line {
  readonly item: string;
  readonly count: number;
}

export const emptyCart: Cart = { lines: {}, taken: [] };

/** One cart of several that were written concurrently. */
export function mergeCarts(carts: readonly Cart[]): Cart {
  const taken = new Set(carts.flatMap((cart) => cart.taken));
  const lines = carts.flatMap((cart) => Object.entries(cart.lines)).filter(([ticket]) => !taken.has(ticket));
  return { lines: Object.fromEntries(lines), taken: [...taken].sort() };
}

export function putIn(cart: Cart, item: string, count = 1): Cart {
  const ticket = randomBytes(9).toString('base64url');
  return { ...cart, lines: { ...cart.lines, [ticket]: { item, count } } };
}

/** Takes out all of an item that is known to lie there. */
export function takeOut(cart: Cart, item: string): Cart {
  const lines = Object.entries(cart.lines);
  const out = lines.filter(([, line]) => line.item === item).map(([ticket]) => ticket);
  return {
    lines: Object.fromEntries(lines.filter(([, line]) => line.item !== item)),
    taken: [...cart.taken, ...out],
  };
}

/** How many of each item there are, by name. */
export function contents(cart: Cart = emptyCart): Record<string, number> {
  const counts = new Map<string, number>();
  for (const { item, count } of Object.values(cart.lines)) counts.set(item, (counts.get(item) ?? 0) + count);
  return Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** All carts: their keys begin with `cart:`, and each `get` and `update` merges what it finds. */
export function cartsOf(client: Client<unknown>): Space<Cart> {
  return client.space<Cart>('cart:', { merge: mergeCarts, ttlMs: 30 * 86_400_000 });
}

function shown(cart: Cart | undefined): string {
  const items = Object.entries(contents(cart)).map(([item, count]) => `${count} ${item}`);
  return items.length === 0 ? 'nothing' : items.join(', ');
}

/** Two devices of one customer, and what becomes of the cart. */
async function main(nodes: readonly string[]): Promise<void> {
  const consistency = { preset: 'PA/EC', conflicts: 'siblings' } as const;
  await using phoneClient = await connect({ nodes, consistency });
  await using laptopClient = await connect({ nodes, consistency });
  const [phone, laptop] = [cartsOf(phoneClient), cartsOf(laptopClient)];
  const id = `demo-${randomBytes(4).toString('hex')}`;

  await Promise.all([
    phone.update(id, (cart = emptyCart) => putIn(cart, 'milk', 2)),
    laptop.update(id, (cart = emptyCart) => putIn(cart, 'bread')),
  ]);
  const { values } = await phone.getVersions(id);
  console.log(`two devices at once: ${values.map(shown).join(' | ')}`);
  console.log(`merged: ${shown(await phone.get(id))}`);

  await Promise.all([
    phone.update(id, (cart = emptyCart) => takeOut(cart, 'milk')),
    laptop.update(id, (cart = emptyCart) => putIn(cart, 'tea')),
  ]);
  console.log(`milk taken out on one, tea put in on the other: ${shown(await laptop.get(id))}`);

  await Promise.all([
    phone.update(id, (cart = emptyCart) => takeOut(cart, 'bread')),
    laptop.update(id, (cart = emptyCart) => putIn(cart, 'bread', 3)),
  ]);
  console.log(`bread taken out on one, three more put in on the other: ${shown(await phone.get(id))}`);
  await phone.delete(id);
}

if (import.meta.main) {
  const addresses = process.argv.slice(2);
  const nodes = addresses.length > 0 ? addresses : [1, 2, 3].map((n) => `127.0.0.1:637${n}`);
  await main(nodes).catch((error: unknown) => {
    if (!(error instanceof DureError && error.code === 'unreachable')) throw error;
    console.error(`${error.message}\n"npm start" in another terminal starts a cluster.`);
    process.exitCode = 1;
  });
}
