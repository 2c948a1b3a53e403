//! Networks and volumes of the engine.

use std::collections::HashMap;

use bollard::models::{
    Ipam, IpamConfig, NetworkConnectRequest, NetworkCreateRequest, NetworkDisconnectRequest,
};
use bollard::query_parameters::{
    ListNetworksOptions, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder, RemoveVolumeOptions,
};
use ipnet::Ipv4Net;

use super::{Engine, EngineError, QUICK};

/// The driver's option for what the machine calls the bridge.
const BRIDGE_NAME: &str = "com.docker.network.bridge.name";

/// A network as the engine has it.
#[derive(Debug, Clone)]
pub struct Network {
    /// The engine's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its IPv4 subnets.
    pub subnets: Vec<Ipv4Net>,
    /// Its labels.
    pub labels: HashMap<String, String>,
}

impl Engine {
    /// All networks, or those with a label.
    pub async fn networks(&self, labelled: Option<&str>) -> Result<Vec<Network>, EngineError> {
        let options: Option<ListNetworksOptions> = labelled.map(|label| {
            let filters = HashMap::from([("label".to_owned(), vec![label.to_owned()])]);
            ListNetworksOptionsBuilder::new().filters(&filters).build()
        });
        let found =
            self.call("list networks", QUICK, self.docker()?.list_networks(options)).await?;
        Ok(found
            .into_iter()
            .map(|network| Network {
                id: network.id.unwrap_or_default(),
                name: network.name.unwrap_or_default(),
                subnets: network
                    .ipam
                    .and_then(|ipam| ipam.config)
                    .unwrap_or_default()
                    .into_iter()
                    .filter_map(|config| config.subnet?.parse().ok())
                    .collect(),
                labels: network.labels.unwrap_or_default(),
            })
            .collect())
    }

    /// Makes a bridge network with this subnet, on a bridge that the machine calls so (15
    /// characters at most). One of this name that is there already stays as it is.
    pub async fn create_network(
        &self,
        name: &str,
        bridge: &str,
        subnet: Ipv4Net,
        labels: HashMap<String, String>,
    ) -> Result<(), EngineError> {
        // Engines allow several networks of one name.
        let filters = HashMap::from([("name".to_owned(), vec![name.to_owned()])]);
        let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
        let found =
            self.call("list networks", QUICK, self.docker()?.list_networks(Some(options))).await?;
        if found.iter().any(|network| network.name.as_deref() == Some(name)) {
            return Ok(());
        }
        let block = IpamConfig { subnet: Some(subnet.to_string()), ..IpamConfig::default() };
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            driver: Some("bridge".to_owned()),
            ipam: Some(Ipam { config: Some(vec![block]), ..Ipam::default() }),
            labels: Some(labels),
            options: Some(HashMap::from([(BRIDGE_NAME.to_owned(), bridge.to_owned())])),
            ..NetworkCreateRequest::default()
        };
        let create = self.docker()?.create_network(request);
        self.call("create network", QUICK, create).await.map(drop)
    }

    /// Puts a container on a network, where it is not yet.
    pub async fn connect_network(&self, network: &str, container: &str) -> Result<(), EngineError> {
        let request =
            NetworkConnectRequest { container: container.to_owned(), endpoint_config: None };
        let connect = self.docker()?.connect_network(network, request);
        match self.call("connect network", QUICK, connect).await {
            // Docker says 403 for it.
            Err(EngineError::Other(message)) if message.contains("already exists in network") => {
                Ok(())
            }
            other => other,
        }
    }

    /// Takes a container off a network, where it is.
    pub async fn disconnect_network(
        &self,
        network: &str,
        container: &str,
    ) -> Result<(), EngineError> {
        let request = NetworkDisconnectRequest { container: container.to_owned(), force: None };
        let disconnect = self.docker()?.disconnect_network(network, request);
        match self.call("disconnect network", QUICK, disconnect).await {
            Err(e) if e.is_not_found() => Ok(()),
            Err(EngineError::Other(message)) if message.contains("is not connected") => Ok(()),
            other => other,
        }
    }

    /// Removes a network; one that is not there is removed already.
    pub async fn remove_network(&self, id: &str) -> Result<(), EngineError> {
        match self.call("remove network", QUICK, self.docker()?.remove_network(id)).await {
            Err(e) if e.is_not_found() => Ok(()),
            other => other,
        }
    }

    /// The names of the volumes with a label.
    pub async fn volumes(&self, labelled: &str) -> Result<Vec<String>, EngineError> {
        let filters = HashMap::from([("label".to_owned(), vec![labelled.to_owned()])]);
        let options = ListVolumesOptionsBuilder::new().filters(&filters).build();
        let found =
            self.call("list volumes", QUICK, self.docker()?.list_volumes(Some(options))).await?;
        Ok(found.volumes.unwrap_or_default().into_iter().map(|volume| volume.name).collect())
    }

    /// Removes a volume; one that is not there is removed already.
    pub async fn remove_volume(&self, name: &str) -> Result<(), EngineError> {
        let remove = self.docker()?.remove_volume(name, None::<RemoveVolumeOptions>);
        match self.call("remove volume", QUICK, remove).await {
            Err(e) if e.is_not_found() => Ok(()),
            other => other,
        }
    }
}
