//! Content-addressed blobs on a local folder or S3.
