//! What each method needs, in one table. A method that is not in it cannot be called where tokens are asked for.

use std::fmt;

use connectrpc::{ConnectError as Status, Payload};
use peat_proto::server::*;
use serde::{Deserialize, Serialize};

use crate::api::typed::Record;

/// What a token may do. Each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Read documents, and see how the node is.
    Read,
    /// Change documents.
    Write,
    /// Change the node.
    Admin,
}

impl Scope {
    /// As in the file and on the command line.
    pub const NAMES: [(&'static str, Self); 3] = [("read", Self::Read), ("write", Self::Write), ("admin", Self::Admin)];
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(_, scope)| scope == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

/// Reads the collections out of a request.
type Named = fn(&Payload) -> Result<Vec<String>, Status>;

/// Which collections a request is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Collections {
    /// None.
    Nothing,
    /// All of them, or the node as a whole.
    Everything,
    /// Always this one.
    Always(&'static str),
    /// Those that it names.
    Named(Named),
    /// Those that it names; all if it names none.
    NamedOrEverything(Named),
}

/// A row of the table.
#[derive(Debug)]
pub(super) struct Method {
    pub(super) name: &'static str,
    pub(super) scope: Scope,
    pub(super) collections: Collections,
}

impl Method {
    /// What takes any token.
    pub(super) const ANY: Self = method("it", Scope::Read, Collections::Nothing);

    /// Whether its request says what it is about.
    pub(super) fn reads_its_request(&self) -> bool {
        matches!(self.collections, Collections::Named(_) | Collections::NamedOrEverything(_))
    }

    /// The collections that a request names.
    pub(super) fn named(&self, request: &Payload) -> Result<Vec<String>, Status> {
        match self.collections {
            Collections::Named(names) | Collections::NamedOrEverything(names) => names(request),
            Collections::Nothing | Collections::Everything | Collections::Always(_) => Ok(vec![]),
        }
    }
}

const fn method(name: &'static str, scope: Scope, collections: Collections) -> Method {
    Method { name, scope, collections }
}

use Collections::{Always, Everything, Named as Of, NamedOrEverything, Nothing};
use Scope::{Admin, Read, Write};

/// The methods of the contract.
const METHODS: &[Method] = &[
    method("GetStatus", Read, Nothing),
    method("ListPeers", Read, Nothing),
    method("GetSyncStats", Read, Nothing),
    method("GetLimits", Read, Nothing),
    method("GetDocument", Read, Of(|request| one::<GetDocumentRequest>(request, |r| &r.collection))),
    method("GetDocuments", Read, Of(of_references)),
    method("ListDocuments", Read, Of(|request| one::<ListDocumentsRequest>(request, |r| &r.collection))),
    method("GetCollections", Read, Everything),
    method("GetPlatforms", Read, Always(Platform::COLLECTION)),
    method("GetCells", Read, Always(Cell::COLLECTION)),
    method("GetTracks", Read, Always(Track::COLLECTION)),
    method("GetCommands", Read, Always(Command::COLLECTION)),
    method(
        "Subscribe",
        Read,
        NamedOrEverything(|request| Ok(request.message::<SubscribeRequest>()?.collections.clone())),
    ),
    method("PutDocument", Write, Of(|request| one::<PutDocumentRequest>(request, |r| &r.collection))),
    method("PutDocuments", Write, Of(of_documents)),
    method("PatchDocument", Write, Of(|request| one::<PatchDocumentRequest>(request, |r| &r.collection))),
    method("DeleteDocument", Write, Of(|request| one::<DeleteDocumentRequest>(request, |r| &r.collection))),
    method("PutPlatform", Write, Always(Platform::COLLECTION)),
    method("PutCell", Write, Always(Cell::COLLECTION)),
    method("PutTrack", Write, Always(Track::COLLECTION)),
    method("PutCommand", Write, Always(Command::COLLECTION)),
    method("SetCollection", Admin, Of(|request| one::<SetCollectionRequest>(request, |r| &r.collection))),
    method("ConnectPeer", Admin, Everything),
    method("DisconnectPeer", Admin, Everything),
    method("StartSync", Admin, Everything),
    method("StopSync", Admin, Everything),
    method("Backup", Admin, Everything),
];

/// It tells what is published anyway, so any token will do.
const REFLECTION: Method = method("ServerReflectionInfo", Read, Nothing);
const REFLECTION_SERVICES: [&str; 2] =
    ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"];
const HEALTH_SERVICE: &str = "grpc.health.v1.Health";

/// What a request path leads to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Route {
    /// What everybody may ask.
    Open,
    /// What a token is needed for.
    Guarded(&'static Method),
    /// Nothing.
    Unknown,
}

impl Route {
    /// Of `/service/Method`, with or without the first slash.
    pub(super) fn of(path: &str) -> Self {
        let path = path.strip_prefix('/').unwrap_or(path);
        match path.split_once('/') {
            Some((peat_proto::SERVICE_NAME, name)) => {
                METHODS.iter().find(|method| method.name == name).map_or(Self::Unknown, Self::Guarded)
            }
            Some((service, _)) if REFLECTION_SERVICES.contains(&service) => Self::Guarded(&REFLECTION),
            Some((HEALTH_SERVICE, _)) => Self::Open,
            _ => Self::Unknown,
        }
    }
}

/// A request that names one collection.
fn one<M>(request: &Payload, collection: fn(&M) -> &String) -> Result<Vec<String>, Status>
where
    M: buffa::Message + Serialize + serde::de::DeserializeOwned + 'static,
{
    Ok(vec![collection(request.message::<M>()?).clone()])
}

fn of_references(request: &Payload) -> Result<Vec<String>, Status> {
    let documents = &request.message::<GetDocumentsRequest>()?.documents;
    Ok(documents.iter().map(|document| document.collection.clone()).collect())
}

fn of_documents(request: &Payload) -> Result<Vec<String>, Status> {
    let documents = &request.message::<PutDocumentsRequest>()?.documents;
    Ok(documents.iter().map(|document| document.collection.clone()).collect())
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    fn methods_of_the_contract() -> Vec<String> {
        let set = prost_types::FileDescriptorSet::decode(peat_proto::FILE_DESCRIPTOR_SET).expect("a descriptor set");
        let services = set.file.into_iter().filter(|file| file.package() == "peat.sidecar.v1");
        let services = services.flat_map(|file| file.service);
        services.flat_map(|service| service.method).map(|method| method.name().to_owned()).collect()
    }

    /// Without a row a method would answer `unimplemented` as soon as tokens are asked for.
    #[test]
    fn every_method_of_the_contract_has_one_row_and_there_is_no_other() {
        let mut contract = methods_of_the_contract();
        let mut table: Vec<String> = METHODS.iter().map(|method| method.name.to_owned()).collect();
        contract.sort_unstable();
        table.sort_unstable();
        assert_eq!(table, contract, "the left side is node/src/api/access/scope.rs, the right side the contract");
    }

    /// Each field `collection…` of each request, however deep, is set in turn to a name that must be found. So neither a
    /// method nor a field that is added later goes unchecked.
    #[test]
    fn every_collection_that_a_request_names_is_found() {
        let set = prost_types::FileDescriptorSet::decode(peat_proto::FILE_DESCRIPTOR_SET).expect("a descriptor set");
        let file = set.file.iter().find(|file| file.package() == "peat.sidecar.v1").expect("the contract");
        let mut found = 0;
        for method in file.service.iter().flat_map(|service| &service.method) {
            let Route::Guarded(row) = Route::of(&format!("/{}/{}", peat_proto::SERVICE_NAME, method.name())) else {
                panic!("{} has no row", method.name());
            };
            let requests = naming(file, method.input_type(), 0);
            assert_eq!(!requests.is_empty(), row.reads_its_request(), "{}", method.name());
            for request in requests {
                let text = request.to_string();
                let payload = Payload::new(text.clone().into(), connectrpc::CodecFormat::Json);
                let named = row.named(&payload).expect("a request");
                assert_eq!(named, ["wanted"], "{} does not look at the collection in {text}", method.name());
                found += 1;
            }
        }
        assert!(found >= 8, "{found}");
    }

    /// A request for each way to name a collection in a message.
    fn naming(file: &prost_types::FileDescriptorProto, message: &str, depth: usize) -> Vec<serde_json::Value> {
        use prost_types::field_descriptor_proto::{Label, Type};
        let message = message.trim_start_matches(".peat.sidecar.v1.");
        let Some(message) = file.message_type.iter().find(|found| found.name() == message) else { return vec![] };
        // Deeper than any request is; a message may have itself as a field.
        if depth > 4 {
            return vec![];
        }
        let of_field = |field: &prost_types::FieldDescriptorProto| {
            let values = match field.r#type() {
                Type::String if field.name().starts_with("collection") => vec![serde_json::json!("wanted")],
                Type::Message => naming(file, field.type_name(), depth + 1),
                _ => vec![],
            };
            let repeated = field.label() == Label::Repeated;
            let name = field.json_name().to_owned();
            let request = move |value| match repeated {
                true => serde_json::json!({ name.as_str(): [value] }),
                false => serde_json::json!({ name.as_str(): value }),
            };
            values.into_iter().map(request).collect::<Vec<_>>()
        };
        message.field.iter().flat_map(of_field).collect()
    }

    #[test]
    fn the_guide_has_every_method_under_its_scope() {
        let guide = include_str!("../../../../docs/access.md");
        for (name, scope) in Scope::NAMES {
            let row = guide.lines().find(|line| line.starts_with(&format!("| `{name}` | `"))).expect(name);
            for method in METHODS {
                assert_eq!(
                    row.contains(&format!("`{}`", method.name)),
                    method.scope == scope,
                    "{} in {row}",
                    method.name
                );
            }
        }
    }

    #[test]
    fn paths_lead_where_they_say_and_nowhere_else() {
        let shown = [
            "/peat.sidecar.v1.PeatSidecar/GetStatus",
            "peat.sidecar.v1.PeatSidecar/GetStatus",
            "/peat.sidecar.v1.PeatSidecar/getstatus",
            "/peat.sidecar.v1.PeatSidecar/GetStatus/",
            "//peat.sidecar.v1.PeatSidecar/GetStatus",
            "/grpc.health.v1.Health/Check",
            "/grpc.health.v1.Health",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            "/",
            "",
        ];
        let told = shown.map(|path| match Route::of(path) {
            Route::Open => format!("{path:?}: open"),
            Route::Guarded(method) => format!("{path:?}: {} {}", method.name, method.scope),
            Route::Unknown => format!("{path:?}: nothing"),
        });
        insta::assert_snapshot!(told.join("\n"));
    }
}
