// What `claim` gave when it was written, for 8 partitions, n = 3, members 1…5. A change here is a change of every
// running cluster's ring.

enum RingVectors {
  static let owners: [[UInt32]] = [
    [3, 4, 2], [4, 5, 1], [2, 3, 1], [5, 1, 2], [3, 5, 4], [4, 5, 2], [1, 3, 4], [5, 3, 1],
  ]
  static let configIDs: [String] = [
    "3c840e39800c8519", "d9ffece59a5aada3", "0f28c4ee44fd5254", "1a1ff17437a65bef", "d9522b2c3f60a0f7",
    "9c5896b6e4bbfc3a", "1377ac2fcb5a6a82", "a3e8505242be4d9a",
  ]
}
