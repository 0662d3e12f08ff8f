// The properties of buckets, under Riak's names. They are the same for all buckets and cannot be set; what Riak has and
// Cairn has not (hash functions, link functions, sizes of vector clocks) is left out rather than made up.

enum BucketProperties {
  /// Appends `"props":{…}`, without a name for a bucket type.
  static func append(bucket: [UInt8]?, replicas: Int, to bytes: inout [UInt8]) {
    bytes.appendASCII("\"props\":{")
    if let bucket {
      bytes.appendASCII("\"name\":")
      bytes.appendJSONText(bucket)
      bytes.append(UInt8(ascii: ","))
    }
    bytes.appendASCII("\"allow_mult\":false,\"last_write_wins\":false,\"n_val\":")
    bytes.appendDecimal(replicas)
    bytes.appendASCII(
      """
      ,"r":"quorum","w":"quorum","dw":"quorum","rw":"quorum","pr":1,"pw":1,"basic_quorum":false,"notfound_ok":true,\
      "precommit":[],"postcommit":[]}
      """)
  }

  /// The document that holds nothing else.
  static func document(bucket: [UInt8]?, replicas: Int) -> [UInt8] {
    var bytes = [UInt8(ascii: "{")]
    append(bucket: bucket, replicas: replicas, to: &bytes)
    bytes.append(UInt8(ascii: "}"))
    return bytes
  }
}
