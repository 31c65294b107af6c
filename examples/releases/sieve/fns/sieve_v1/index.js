// Counts the primes below 10,000 by trial division.
module.exports = (req, res) => {
  let count = 0;
  for (let n = 2; n < 10000; n++) {
    let prime = true;
    for (let d = 2; d * d <= n; d++) if (n % d === 0) prime = false;
    if (prime) count++;
  }
  res.send(`${count}\n`);
};
