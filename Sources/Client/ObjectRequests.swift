import Protocols

// Requests for the objects of one bucket, as bytes: what does not change from key to key is made once.

/// Places for the requests of many keys of one bucket.
package struct ObjectRequests: Sendable {
  /// `/types/T/buckets/B/keys/`.
  private let path: [UInt8]
  /// The query and what follows it in the request line.
  private let afterKey: [UInt8]

  /// - Parameter query: `name=value`, each.
  package init(type: String?, bucket: String, query: [String] = []) {
    let object = objectPath(type: type, bucket: bucket, key: "")
    path = Array(object.utf8)
    afterKey = Array(((query.isEmpty ? "" : "?" + query.joined(separator: "&")) + " HTTP/1.1\r\nHost: ").utf8)
  }

  /// Appends a GET of `key`, whole.
  package func appendGet(_ key: ArraySlice<UInt8>, to endpoint: Endpoint, _ out: inout [UInt8]) {
    out.append(contentsOf: "GET ".utf8)
    appendTarget(key, &out)
    out.append(contentsOf: endpoint.authority)
    out.append(contentsOf: "\r\n\r\n".utf8)
  }

  /// Appends the beginning of a PUT, up to the endpoint in its Host header. `appendPutEnd` must follow behind that.
  package func appendPutBegin(_ key: ArraySlice<UInt8>, _ out: inout [UInt8]) {
    out.append(contentsOf: "PUT ".utf8)
    appendTarget(key, &out)
  }

  /// Appends what follows the endpoint in the Host header of a PUT: headers and value.
  /// - Parameter headers: Whole lines, `Content-Type` among them.
  package static func appendPutEnd(headers: [UInt8], value: ArraySlice<UInt8>, _ out: inout [UInt8]) {
    out.append(contentsOf: "\r\n".utf8)
    out.append(contentsOf: headers)
    out.append(contentsOf: "Content-Length: ".utf8)
    out.appendDecimal(value.count)
    out.append(contentsOf: "\r\n\r\n".utf8)
    out.append(contentsOf: value)
  }

  private func appendTarget(_ key: ArraySlice<UInt8>, _ out: inout [UInt8]) {
    out.append(contentsOf: path)
    let dot = UInt8(ascii: ".")
    if key.first == dot && key.count <= 2 && key.last == dot {
      // Such a segment would mean something else in a path.
      for _ in key { out.append(contentsOf: "%2E".utf8) }
    } else {
      out.appendEscaped(key)
    }
    out.append(contentsOf: afterKey)
  }
}
