// Paths that no schedule can take here, and why; paths that are tested elsewhere; and those that concern what a fixed set
// of nodes does not have.

struct ImpossiblePath: Sendable {
  let number: Int
  let path: String
  let why: String

  init(_ number: Int, _ path: String, _ why: String) {
    self.number = number
    self.path = path
    self.why = why
  }

  static let all: [ImpossiblePath] = [
    ImpossiblePath(
      5, "an acknowledgement of an older tombstone counts for a newer one",
      "an acknowledgement is a place in a feed, and the newer tombstone has a place of its own behind it"),
    ImpossiblePath(
      6, "an acknowledgement is that a tombstone is there, some tombstone",
      "nobody asks for keys: an acknowledgement is a place in a feed"),
    ImpossiblePath(9, "tombstones go when they are old enough", "no rule asks for an age but the one that keeps them"),
    ImpossiblePath(
      15, "a queue of writes replays one of them",
      "there is none but hints (P14) and forwarded writes, which are pushes"),
    ImpossiblePath(
      16, "an owner goes on handing over what the new owners have forgotten",
      "a store is filled by pulls of the one that fills; what it is sent otherwise is a push (P11)"),
    ImpossiblePath(
      17, "a forwarded write arrives late",
      "it keeps its stamp, and the owner that it is forwarded to coordinates it by pushes (P11)"),
    ImpossiblePath(18, "a client repeats its put after its delete", "that is another put, with a stamp of its own"),
    ImpossiblePath(
      20, "a put arrives twice, once after the key was written again",
      "a store never lets an older stamp replace a newer one (.ci/mutations older-stamp-wins shows what finds it)"),
    ImpossiblePath(
      22, "what was pulled is applied much later",
      "nothing that was pulled is put anywhere before it is applied, and rule GUARD looks when it is applied (P21)"),
    ImpossiblePath(
      23, "a tree of hashes says long after that a key is missing",
      "trees are in memory and of what counts now; they choose keys alone, and the record comes by a pull of its own"),
    ImpossiblePath(
      24, "files are put into a running cluster", "there is no such way: import writes anew, with stamps of now"),
    ImpossiblePath(
      28, "stand-ins alone answer a read", "an answer needs an owner (pr is 1 or more): SloppyQuorumTests"),
    ImpossiblePath(
      49, "a node that was put back issues its stamps again",
      "it goes by another name after every unclean stop (.ci/mutations stamps-reused shows what finds it)"),
    ImpossiblePath(
      51, "a delete stands below the value that it is to delete",
      "it is stamped anew until it stands above what its quorum has; a delete that is acknowledged below is a broken "
        + "promise in every simulated run"),
    ImpossiblePath(
      52, "a value from the far future",
      "a node whose clock is far off coordinates nothing: clocks jump by hours in "
        + "simulated runs"),
    ImpossiblePath(
      53, "a tombstone from the far future raises the floor",
      "the same; and the time a tombstone is held is counted by "
        + "the clock that cannot be set"),
    ImpossiblePath(
      54, "a put and a delete with the same stamp", "an actor issues no stamp twice, and stamps have a total order"),
    ImpossiblePath(
      66, "a value that means a delete", "a bit of the record's head says what it is: KnownBugsTests"),
    ImpossiblePath(
      71, "a delete reached one node, whose client was not told: it is seen and then not",
      "the tombstone is in that node's feed, and reaches all; in every simulated run no value is read, then something "
        + "else, then the value again"),
    ImpossiblePath(
      74, "a tool puts an old record back",
      "what was kept apart is written anew, by an ordinary put with a stamp of now"),
    ImpossiblePath(
      75, "an older program ignores what it does not know", "every file has a version, and others are refused"),
  ]

  /// With names of their own: of one store's files (Tests/FaultTests), of failing and damaged disks, of two nodes that
  /// go by one name.
  static let elsewhere = [4, 43, 45, 46, 47, 48, 50, 58, 59, 60, 61, 62, 63, 64, 65, 67, 68, 72, 77]

  /// Owners that change.
  static let ofMembership = [8, 10, 25, 31, 32, 33, 34, 35, 36, 38, 39, 40]
  /// Siblings, clusters that follow each other.
  static let ofOtherFeatures = [55, 56, 73, 76]
}
