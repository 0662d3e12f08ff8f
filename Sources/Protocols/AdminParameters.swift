// What queries ask of what operators do, as it stands there; what it means is looked into by the server.

/// What a query asks of a snapshot, as it stands there.
package struct SnapshotParameters: Equatable, Sendable {
  package private(set) var name: String?
  package private(set) var store: String?

  package init() {}

  init(query bytes: [UInt8], _ query: Range<Int>) throws(HTTPProblem) {
    try forEachParameter(bytes, query) { (name, value) throws(HTTPProblem) in
      switch name {
      case "name": self.name = value
      case "store": store = value
      default: throw .unknownParameter(name)
      }
    }
  }
}

/// What a query of a backup asks: of a snapshot, or for how long nothing is to be purged.
package struct BackupParameters: Equatable, Sendable {
  package private(set) var name: String?
  /// Of a directory or a file, from the snapshot's own on.
  package private(set) var path: String?
  package private(set) var offset: String?
  package private(set) var count: String?
  package private(set) var seconds: String?

  package init() {}

  init(query bytes: [UInt8], _ query: Range<Int>) throws(HTTPProblem) {
    try forEachParameter(bytes, query) { (name, value) throws(HTTPProblem) in
      switch name {
      case "name": self.name = value
      case "path": path = value
      case "offset": offset = value
      case "count": count = value
      case "seconds": seconds = value
      default: throw .unknownParameter(name)
      }
    }
  }
}

/// What a query asks of the quarantine: a page of it, or what is to be done with one entry.
package struct QuarantineParameters: Equatable, Sendable {
  /// Where the page begins.
  package private(set) var from: String?
  package private(set) var action: String?
  package private(set) var type: String?
  package private(set) var bucket: String?
  package private(set) var key: String?
  package private(set) var stamp: String?

  package init() {}

  init(query bytes: [UInt8], _ query: Range<Int>) throws(HTTPProblem) {
    try forEachParameter(bytes, query) { (name, value) throws(HTTPProblem) in
      switch name {
      case "from": from = value
      case "do": action = value
      case "type": type = value
      case "bucket": bucket = value
      case "key": key = value
      case "stamp": stamp = value
      default: throw .unknownParameter(name)
      }
    }
  }
}
