// Counts the primes below 10,000 with the sieve of Eratosthenes.
module.exports = (req, res) => {
  const composite = new Uint8Array(10000);
  let count = 0;
  for (let n = 2; n < 10000; n++) {
    if (composite[n]) continue;
    count++;
    for (let m = n * n; m < 10000; m += n) composite[m] = 1;
  }
  res.send(`${count}\n`);
};
