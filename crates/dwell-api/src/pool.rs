//! The warm pool on the wire.

use dwell_core::workspace::ImageRef;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What waits to become a workspace.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Pool {
    /// The images of which containers wait, or should.
    pub images: Vec<PoolImage>,
    /// Why none is made, where that has nothing to do with an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// What waits of one image.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PoolImage {
    /// The image.
    #[schema(value_type = String)]
    pub image: ImageRef,
    /// How many should wait.
    pub wanted: u32,
    /// How many wait.
    pub ready: u32,
    /// Whether one is being made.
    pub filling: bool,
    /// The memory that they take, in bytes, as far as the system tells.
    pub memory: u64,
    /// Why fewer wait than should.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl PoolImage {
    /// An image of which nothing waits yet.
    pub fn new(image: ImageRef, wanted: u32) -> Self {
        Self { image, wanted, ready: 0, filling: false, memory: 0, problem: None }
    }
}
