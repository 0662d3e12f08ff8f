import Primitives

// The members of a new cluster as an operator writes them, `n1=host:port,n2=host:port,…`: the same text on every
// node. The order in the text does not matter: members are sorted by name and numbered from 1, so that all nodes give
// the same ids. `membersDigest` is what nodes compare to find out that their texts differ.

/// What is wrong with an initial cluster.
package enum InitialClusterError: Error, Equatable, CustomStringConvertible {
  case empty
  /// Not `name=host:port`.
  case malformed(String)
  case badName(String)
  case badPort(name: String, port: String)
  case duplicateName(String)
  case duplicateAddress(String, first: String, second: String)
  case tooMany(Int)

  package var description: String {
    switch self {
    case .empty: "the initial cluster names no node"
    case .malformed(let entry): "'\(entry)' is not name=host:port"
    case .badName(let name):
      "'\(name)' is not a node name: 1 to \(InitialCluster.nameBytesMax) letters, digits, '-', '_' or '.'"
    case .badPort(let name, let port): "the port of node '\(name)' is '\(port)', not a number from 1 to 65535"
    case .duplicateName(let name): "node '\(name)' is named twice"
    case .duplicateAddress(let address, let first, let second):
      "nodes '\(first)' and '\(second)' have the same address \(address)"
    case .tooMany(let count): "\(count) nodes are more than \(InitialCluster.membersMax)"
    }
  }
}

package enum InitialCluster {
  package static let membersMax = 1024
  package static let nameBytesMax = 64

  /// Members sorted by name, with ids from 1.
  package static func parse(_ text: String) throws(InitialClusterError) -> [Member] {
    var entries: [(name: String, address: String)] = []
    for piece in text.split(separator: ",", omittingEmptySubsequences: true) {
      let entry = trimmed(piece)
      if entry.isEmpty { continue }
      entries.append(try parseEntry(entry))
    }
    guard !entries.isEmpty else { throw .empty }
    guard entries.count <= membersMax else { throw .tooMany(entries.count) }
    entries.sort { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    for (one, next) in zip(entries, entries.dropFirst()) where one.name == next.name { throw .duplicateName(one.name) }
    let byAddress = entries.sorted { ($0.address, $0.name) < ($1.address, $1.name) }
    for (one, next) in zip(byAddress, byAddress.dropFirst()) where one.address == next.address {
      throw .duplicateAddress(one.address, first: one.name, second: next.name)
    }
    return entries.enumerated().map {
      Member(id: NodeID(UInt32($0.offset + 1)), name: $0.element.name, address: $0.element.address)
    }
  }

  /// A digest of ids, names and addresses; the same on every machine and in every version.
  package static func membersDigest(_ members: [Member]) -> UInt64 {
    var bytes: [UInt8] = []
    for member in members.sorted(by: { $0.id < $1.id }) {
      bytes.appendLittleEndian(member.id.rawValue)
      for text in [member.name, member.address] {
        bytes.appendLittleEndian(UInt32(text.utf8.count))
        bytes.append(contentsOf: text.utf8)
      }
    }
    return RingHash(seed: 0x6361_6972_6E2D_6D62)(bytes)
  }

  private static func parseEntry(_ entry: String) throws(InitialClusterError) -> (name: String, address: String) {
    let sides = entry.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    guard sides.count == 2 else { throw .malformed(entry) }
    let name = trimmed(sides[0])
    let address = trimmed(sides[1])
    guard isName(name) else { throw .badName(name) }
    guard let colon = address.lastIndex(of: ":"), colon != address.startIndex else { throw .malformed(entry) }
    let digits = address[address.index(after: colon)...]
    guard digits.utf8.allSatisfy({ (48...57).contains($0) }), let port = UInt16(digits), port > 0 else {
      throw .badPort(name: name, port: String(digits))
    }
    return (name, "\(address[..<colon]):\(port)")
  }

  private static func isName(_ name: String) -> Bool {
    !name.isEmpty && name.utf8.count <= nameBytesMax
      && name.utf8.allSatisfy {
        switch $0 {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."): true
        default: false
        }
      }
  }

  private static func trimmed(_ text: Substring) -> String {
    var text = text
    while let first = text.first, first.isWhitespace { text.removeFirst() }
    while let last = text.last, last.isWhitespace { text.removeLast() }
    return String(text)
  }
}
